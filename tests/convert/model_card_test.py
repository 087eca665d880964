"""The card: a header that hubs can read, and everything that is known of the model."""

import json
from pathlib import Path

import pytest
import tiny_checkpoint
import tiny_run
import yaml

from amber_jax.config import as_json
from amber_jax.corpora.records import read_manifest
from amber_jax.errors import UserError

XLM_R = Path(__file__).parents[1] / "data" / "convert" / "xlmr_tiny"
RESULT = {
    "task": "retrieval",
    "name": "heldout",
    "model": "AMBER",
    "checkpoint": "runs/amber",
    "step": 7,
    "layer": 2,
    "pooling": "mean",
    "special_tokens": False,
    "similarity": "cosine",
    "centred": False,
    "pivot": "en",
    "max_length": 128,
    "candidates": {"fr": 300},
    "scores": {"fr": {"xx_to_en": 0.25, "en_to_xx": 0.5}},
    "average": {"xx_to_en": 0.25, "en_to_xx": 0.5, "both": 0.375},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of a run on a corpus that is still there."""
    folder = tmp_path_factory.mktemp("trained")
    corpus = tiny_run.write_corpus(folder / "corpus")
    config = tiny_run.get_config()
    config.corpus = str(corpus)
    return tiny_checkpoint.write(
        folder / "amber",
        tiny_run.save_tokenizer(folder / "tokenizer"),
        config=as_json(config),
        corpus_fingerprint=read_manifest(corpus)["fingerprint"],
    )


def card_of(folder):
    text = (folder / "README.md").read_text("utf-8")
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


def test_a_trained_model_says_what_it_was_trained_on_and_how(
    trained, convert, tmp_path
):
    convert(f"amber:{trained}", f"hf:{tmp_path / 'my-amber'}", license="apache-2.0")
    header, body = card_of(tmp_path / "my-amber")
    assert header == {
        "language": ["de", "en", "fr"],
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["bert", "multilingual", "amber_jax", "transformers"],
    }
    for words in (
        "# my-amber",
        "after 7 steps of training: 2 layers of 16",
        "| translations | en-fr | ",
        "- Stage monolingual: 3 steps of 16 monolingual and 0 translation pairs; ",
        "sentence alignment (weight 1), word alignment (weight 1); peak learning rate",
        "| optimizer.weight decay | 0.01 |",
        "| hidden dropout | 0.1 |",
        "None were given",
        "apache-2.0. The texts",
    ):
        assert words in body


def test_results_are_a_table_and_an_index(trained, convert, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"results": [RESULT]}))
    target = f"sentence-transformers:{tmp_path / 'out'}"
    convert(f"amber:{trained}", target, results=(tmp_path / "results.json",))
    header, body = card_of(tmp_path / "out")
    assert header["library_name"] == "sentence-transformers"
    assert header["pipeline_tag"] == "sentence-similarity"
    assert header["metrics"] == ["accuracy"]
    (index,) = header["model-index"]
    (result,) = index["results"]
    assert result["dataset"] == {
        "type": "heldout",
        "name": "heldout (fr)",
        "config": "fr",
    }
    values = {m["name"].split(";")[0]: m["value"] for m in result["metrics"]}
    assert values == {"xx_to_en": 0.25, "en_to_xx": 0.5, "both": 0.375}
    assert "| language | both | en_to_xx | xx_to_en |" in body
    assert "| fr | 37.5 | 50.0 | 25.0 |" in body
    assert "SentenceTransformer" in body and "left out" in body


def test_a_broken_results_file_stops_before_anything_is_written(
    trained, convert, tmp_path
):
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(UserError, match=r"is not a results\.json"):
        convert(
            f"amber:{trained}",
            f"hf:{tmp_path / 'out'}",
            results=(tmp_path / "results.json",),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_what_is_not_known_is_not_made_up(hf_tiny, convert, tmp_path):
    convert(f"hf:{hf_tiny}", f"tf1:{tmp_path / 'out'}")
    header, body = card_of(tmp_path / "out")
    assert header.keys() == {"library_name", "pipeline_tag", "tags"}
    for words in ("is not recorded", "None were given", "Not said by who converted it"):
        assert words in body
    assert "Converted by amber_jax from hf:hf_tiny" in body


def test_another_corpus_in_the_place_of_the_first_is_not_taken_for_it(
    trained, convert, tmp_path
):
    corpus = tiny_run.write_corpus(tmp_path / "corpus", seed=1)
    config = tiny_run.get_config()
    config.corpus = str(corpus)
    other = tiny_checkpoint.write(
        tmp_path / "amber",
        tiny_run.save_tokenizer(tmp_path / "tokenizer"),
        config=as_json(config),
        corpus_fingerprint="of another corpus",
    )
    convert(f"amber:{other}", f"hf:{tmp_path / 'out'}")
    header, body = card_of(tmp_path / "out")
    assert "language" not in header and "is not recorded" in body


def test_an_xlm_roberta_is_called_so(convert, tmp_path):
    convert(f"hf:{XLM_R}", f"hf:{tmp_path / 'out'}")
    header, body = card_of(tmp_path / "out")
    assert header["tags"][0] == "xlm-roberta"
    assert "An XLM-R encoder: " in body and " heads, a vocabulary of " in body
    assert "<mask>" in body and "[MASK]" not in body

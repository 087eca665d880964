"""Sentence retrieval through `evaluate`, on a tiny model with random weights."""

import dataclasses

import numpy as np
import pytest

from amber_jax.commands import evaluate
from amber_jax.errors import UserError
from amber_jax.evaluation.results import read_results
from amber_jax.evaluation.retrieve import build_retrieval
from amber_jax.inference.embedding import (
    build_embedder,
    embed_sentences,
    parts_to_embed,
)
from amber_jax.inference.loading import load_model
from amber_jax.model.sentence_vector import EncodingDefaults, SentenceVector
from amber_jax.report.terminal import results_as_text
from amber_jax.search.retrieval import Search, accuracy, find_translations
from configs import sample_retrieval
from configs import tatoeba as tatoeba_config

SIDES = {  # language code of the file: (its sentences, the English ones)
    "deu": (["1 2 3", "4 5", "6", "7 8 9 10"], ["3 2 1", "5 4 4", "6 6", "10 9"]),
    "fra": (["11 12", "1 2 3", "13 14"], ["12 11", "3 2 1", "14"]),
}

PLAIN = EncodingDefaults()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tatoeba")
    for code, sides in SIDES.items():
        for side, sentences in zip((code, "eng"), sides, strict=True):
            text = "".join(f"{sentence}\n" for sentence in sentences)
            (path / f"tatoeba.{code}-eng.{side}").write_text(text, "utf-8")
    return path


@pytest.fixture
def config(folder):
    """configs/tatoeba.py on that folder, fit for that model."""
    config = tatoeba_config.get_config()
    (retrieval,) = config.retrievals
    retrieval.path, retrieval.max_length, retrieval.batch_size = str(folder), 16, 4
    return config


def run(config, checkpoint, output):
    results = evaluate.evaluate(config, checkpoint, output, note=print)
    assert read_results(output / "results.json") == results
    return results


def test_a_result_says_how_it_was_made_and_what_it_is(config, checkpoint, tmp_path):
    (result,) = run(config, checkpoint, tmp_path)
    assert (result.task, result.name, result.step) == ("retrieval", "tatoeba", 5)
    assert (result.layer, result.pooling) == (2, "mean")
    assert (result.similarity, result.neighbors) == ("cosine", 0)
    assert result.sizes == {"de": 4, "fr": 3}
    assert result.layers == {}
    assert 0 <= result.average["both"] <= 1


@pytest.mark.parametrize("similarity", ["cosine", "margin"])
def test_a_curve_holds_the_scores_of_each_layer_alone(
    config, checkpoint, tmp_path, similarity
):
    (retrieval,) = config.retrievals
    retrieval.similarity = similarity
    retrieval.layer_curve = True
    (curve,) = run(config, checkpoint, tmp_path / "curve")
    assert curve.neighbors == {"cosine": 0, "margin": 4}[similarity]
    retrieval.layer_curve = False
    for layer in range(3):
        retrieval.layer = layer
        (alone,) = run(config, checkpoint, tmp_path / str(layer))
        averages = dataclasses.asdict(curve.layers[layer])
        assert averages == pytest.approx(alone.average, rel=1e-12)
    assert alone.scores == curve.scores
    assert list(curve.layers) == [0, 1, 2]


def test_a_curve_and_its_settings_are_in_the_table(config, checkpoint, tmp_path):
    config.retrievals[0].layer_curve = True
    config.retrievals[0].similarity = "csls"
    (result,) = run(config, checkpoint, tmp_path)
    text = results_as_text([result])
    assert "layer 2, pooling mean, special tokens left out, similarity csls" in text
    both = [100 * share for share in result.layer_curve.values()]
    expected = "both directions by layer: 0 {:.1f}, 1 {:.1f}, 2 {:.1f}."
    assert expected.format(*both) in text


def test_predictions_are_in_xtremes_order_and_score_the_same(
    config, checkpoint, tmp_path
):
    (result,) = run(config, checkpoint, tmp_path)
    for language, code in (("de", "deu"), ("fr", "fra")):
        path = tmp_path / "predictions" / "tatoeba" / f"test-{language}.tsv"
        predicted = [int(line) for line in path.read_text("ascii").splitlines()]
        english = SIDES[code][1]
        gold = sorted(range(len(english)), key=lambda row: english[row])
        share = np.mean([row == own for row, own in zip(predicted, gold, strict=True)])
        assert share == result.scores[language]["en_to_xx"]
    # English sorted is "10 9", "3 2 1", "5 4 4", "6 6".
    model = load_model(checkpoint)
    vectors = [
        embed_sentences(
            build_embedder(model.config, SentenceVector()),
            parts_to_embed(model.params),
            model.tokenizer,
            side,
            max_length=16,
            batch_size=4,
        )
        for side in SIDES["deu"]
    ]
    translations = find_translations(*vectors, Search())
    lines = (tmp_path / "predictions" / "tatoeba" / "test-de.tsv").read_text("ascii")
    assert lines == "".join(f"{translations.tgt_to_src[row]}\n" for row in (3, 0, 1, 2))
    assert accuracy(translations) == result.scores["de"]


def test_vectors_are_those_of_the_layer_scored_with_a_curve_or_without(
    config, checkpoint
):
    model = load_model(checkpoint)
    (retrieval,) = config.retrievals
    retrieval.layer = 1
    vectors = []
    for retrieval.layer_curve in (False, True):
        evaluation = build_retrieval(retrieval, model.config, model.tokenizer, PLAIN)
        vectors.append(evaluation.embed(model.params, ["1 2", "3"]))
    np.testing.assert_array_equal(*vectors)
    assert vectors[0].shape == (2, 16)


def test_a_run_scores_without_writing(config, checkpoint):
    model = load_model(checkpoint)
    evaluation = build_retrieval(
        config.retrievals[0], model.config, model.tokenizer, PLAIN
    )
    scores = evaluation.score(model.params)
    record = evaluation.flat(scores)
    assert record["de/de_to_en"] == scores["de"]["xx_to_en"]
    assert record["fr/en_to_fr"] == scores["fr"]["en_to_xx"]
    assert list(record)[-1] == "average"


MISTAKES = [
    ("similarity", "cosinus", "'cosinus', not one of cosine, dot, csls, margin"),
    ("neighbors", -1, "neighbors is -1"),
    ("layer", 8, "layer is 8; the model has 2"),
    ("max_length", 512, "max_length is 512, but the model has 40 positions"),
    ("pivot", "de", "they need pivot en, not de"),
    ("max_candidates", 2, "max_candidates 0, not 2"),
    ("path", "tfds:tatoeba/tatoeba_{language}:train", "languages is empty"),
    ("path", "nowhere", "nowhere does not exist"),
]


@pytest.mark.parametrize(("name", "value", "reason"), MISTAKES)
def test_each_mistake_is_told(config, checkpoint, tmp_path, name, value, reason):
    config.retrievals[0][name] = value
    with pytest.raises(
        UserError, match=r"evaluation tatoeba: |retrievals\[0\]\."
    ) as caught:
        evaluate.evaluate(config, checkpoint, tmp_path)
    assert reason in str(caught.value)


def test_a_table_of_other_sentences_is_not_called_tatoeba(config, checkpoint, tmp_path):
    table = tmp_path / "ours.tsv"
    table.write_text("key\ten\tde\na\t1 2\t3 4\nb\t5\t6\n", "utf-8")
    config.retrievals[0].path, config.retrievals[0].predictions = str(table), False
    (result,) = run(config, checkpoint, tmp_path)
    assert result.name == "ours"


def test_an_index_is_refused_for_what_is_no_inner_product(config, checkpoint, tmp_path):
    config.retrievals[0].index, config.retrievals[0].similarity = "Flat", "margin"
    with pytest.raises(UserError, match="index 'Flat' cannot find .* by margin"):
        evaluate.evaluate(config, checkpoint, tmp_path)


def test_two_retrievals_cannot_write_the_same_predictions(config, checkpoint, tmp_path):
    config.retrievals = config.retrievals * 2
    with pytest.raises(UserError, match="tatoeba, tatoeba would all write the same"):
        evaluate.evaluate(config, checkpoint, tmp_path)


def test_the_configs_are_the_protocols_they_name():
    (amber,) = tatoeba_config.get_config().retrievals
    (xtreme,) = tatoeba_config.get_config("xtreme").retrievals
    assert (amber.layer, amber.special_tokens, amber.similarity) == (
        -1,
        False,
        "cosine",
    )
    assert (xtreme.layer, xtreme.special_tokens, xtreme.max_length) == (8, True, 512)
    assert xtreme.similarity == "cosine" and amber.predictions and xtreme.predictions
    centered = [
        retrieval.center
        for retrieval in sample_retrieval.get_config("centered").retrievals
    ]
    assert centered == [False, False, True, True]
    for file, name in ((tatoeba_config, "xtrem"), (sample_retrieval, "central")):
        with pytest.raises(UserError, match=f"variant '{name}' is unknown"):
            file.get_config(name)


def test_a_prompt_stands_before_every_sentence_and_in_the_result(
    config, checkpoint, tmp_path
):
    model = load_model(checkpoint)
    (retrieval,) = config.retrievals
    wants = EncodingDefaults(prompts={"query": "7 "}, default_prompt="query")
    plain, asked, named, default, without = (
        build_retrieval(retrieval, model.config, model.tokenizer, encoding)
        for retrieval.prompt, encoding in (
            ("", PLAIN),
            ("7 ", PLAIN),
            ("query", wants),
            (None, wants),
            ("", wants),
        )
    )
    wanted = plain.embed(model.params, ["7 1 2", "7 3"])
    for evaluation in (asked, named, default):
        vectors = evaluation.embed(model.params, ["1 2", "3"])
        np.testing.assert_array_equal(vectors, wanted)
    np.testing.assert_array_equal(without.embed(model.params, ["7 1 2", "7 3"]), wanted)
    retrieval.prompt = "7 "
    (result,) = run(config, checkpoint, tmp_path)
    assert result.prompt == result.settings["prompt"] == '"7 "'

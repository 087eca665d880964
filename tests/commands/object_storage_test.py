"""Every command's inputs and outputs in object storage: as on a local disk."""

import io
import json

import numpy as np
import pytest
import report_files
import tiny_run
from quiet_conversion import convert

import amber_jax
from amber_jax.commands.align import align_file
from amber_jax.commands.embed import embed_file
from amber_jax.commands.evaluate import evaluate
from amber_jax.commands.mine import Search, mine_files
from amber_jax.corpora.rows_as_text import corpus_lines
from amber_jax.errors import UserError
from amber_jax.evaluation import xtreme
from amber_jax.inference.word_links import Alignment
from amber_jax.storage import location
from configs import tatoeba as tatoeba_config

SRC = b"1 2 3\n4 5\r\n\n6 7 8 9\n10 11\n"
LINKS = Alignment("similarity", None, "intersection", 0.0)
TGT = b"6 7 8 9 0\n4 5 , 4 5\n30 31 32\n1 2 3 1 2 3\n"


@pytest.fixture
def there(trained, object_store):
    """The model in storage."""
    return location(object_store.put_folder(trained, "model/7"))


def test_a_model_in_storage_is_the_model(model, there):
    remote = amber_jax.load(str(there))
    assert remote.fingerprint == model.fingerprint
    sentences = ["1 2 3", "4 , 5"]
    assert remote.encode(sentences).tolist() == model.encode(sentences).tolist()
    assert remote.fill_mask("1 [MASK] 3") == model.fill_mask("1 [MASK] 3")


def test_sentences_and_vectors(trained, there, object_store, tmp_path):
    (tmp_path / "lines").write_bytes(SRC)
    object_store.put("in/lines", SRC)
    paths = {trained: tmp_path, there: object_store.path("in")}
    for checkpoint, folder in paths.items():
        embed_file(checkpoint, f"{folder}/lines", f"{folder}/x.npy", note=str)
    wanted = np.load(tmp_path / "x.npy")
    assert len(wanted) == 5
    assert np.load(io.BytesIO(object_store.get("in/x.npy"))).tolist() == wanted.tolist()


def test_translations_and_word_links(trained, there, object_store, tmp_path):
    pairs = b"1 2 3 ||| 3 2 1\n4 5\t5 4\n"
    for name, content in (("src", SRC), ("tgt", TGT), ("pairs", pairs)):
        (tmp_path / name).write_bytes(content)
        object_store.put(f"in/{name}", content)
    for checkpoint, root in (
        (trained, str(tmp_path)),
        (there, object_store.path("in")),
    ):
        files = [f"{root}/{name}" for name in ("src", "tgt", "mined.tsv")]
        mine_files(checkpoint, *files, search=Search(), note=str)
        links = f"{root}/links"
        align_file(checkpoint, f"{root}/pairs", links, LINKS, note=str)
    for name in ("mined.tsv", "links"):
        wanted = (tmp_path / name).read_bytes()
        assert wanted
        assert object_store.get(f"in/{name}") == wanted


@pytest.mark.parametrize("name", ["hf", "amber"])
def test_models_are_converted_from_storage_to_storage(
    name, trained, there, object_store, tmp_path
):
    convert(f"amber:{trained}", f"{name}:{tmp_path / 'local'}")
    (message,) = convert(f"amber:{there}", f"{name}:{object_store.path('out')}")[-1:]
    assert message.startswith(f"amber:{there} -> {name}:gs://")
    if name != "amber":  # Orbax writes its files anew each time
        wanted = {
            str(file.relative_to(tmp_path / "local")): file.read_bytes()
            for file in (tmp_path / "local").rglob("*")
            if file.is_file()
        }
        assert object_store.folder("out") == {
            file: content.replace(b"local", b"out") if file == "README.md" else content
            for file, content in wanted.items()
        }
    back = tmp_path / "back"
    convert(f"{name}:{object_store.path('out')}", f"amber:{back}")
    vectors = [amber_jax.load(path).encode(["1 2 3"]) for path in (trained, back)]
    np.testing.assert_allclose(*vectors, atol=1e-6)
    with pytest.raises(UserError, match="is there already"):
        convert(f"amber:{there}", f"{name}:{object_store.path('out')}")


def test_an_evaluation_its_report_and_its_score(trained, there, object_store, tmp_path):
    data = {
        "tatoeba.deu-eng.deu": "1 2 3\n4 5\n6\n",
        "tatoeba.deu-eng.eng": "3 2 1\n5 4 4\n6 6\n",
    }
    for name, text in data.items():
        object_store.put(f"tatoeba/{name}", text.encode())
    config = tatoeba_config.get_config()
    (retrieval,) = config.retrievals
    retrieval.path, retrieval.max_length = object_store.path("tatoeba"), 16
    retrieval.predictions = True
    config.probe.language = "de"
    output = location(object_store.path("results"))
    (result,) = evaluate(config, there, output, note=str)
    assert {*object_store.folder("results")} == {
        *("results.json", "probe.npz", "predictions/tatoeba/test-de.tsv")
    }
    retrieval.path = str(tmp_path)
    for name, text in data.items():
        (tmp_path / name).write_text(text)
    (wanted,) = evaluate(config, trained, tmp_path / "results", note=str)
    assert result.scores == wanted.scores

    folder = output / "predictions"
    scores = xtreme.score_folder(folder, folder, languages={"tatoeba": ["de"]})
    assert scores["tatoeba"]["accuracy"] == {"de": 100.0, "average": 100.0}

    lines = [{"kind": "train", "step": n, "loss": 2.0, "stage": "a"} for n in (1, 2)]
    records = "".join(json.dumps(line) + "\n" for line in lines)
    object_store.put("run/metrics.jsonl", records.encode())
    report_files.report(
        location(object_store.path("report")),
        results=[output / "results.json"],
        probe=output / "probe.npz",
    )
    assert {"report.md", "report.html"} < {*object_store.folder("report")}


def test_task_data_in_storage_is_found_by_its_pattern(object_store, tmp_path):
    from amber_jax.datasets.readers import read_examples

    text = "12\tNUM\n,\tPUNCT\n\n7\tVERB\n"
    (tmp_path / "udpos").mkdir()
    for root in ("part1", "part2"):
        (tmp_path / "udpos" / f"{root}-test-fr.tsv").write_text(text)
        object_store.put(f"udpos/{root}-test-fr.tsv", text.encode())
    local, remote = (
        read_examples("udpos", f"{root}/udpos/*-test-{{language}}.tsv", language="fr")
        for root in (tmp_path, object_store.path())
    )
    assert len(local.examples) == 4
    assert remote.examples == local.examples
    assert remote.files[0] == object_store.path("udpos/part1-test-fr.tsv")
    with pytest.raises(UserError, match="no file gs://.*-test-de.tsv"):
        read_examples(
            "udpos", object_store.path("udpos/*-test-{language}.tsv"), language="de"
        )


def test_rows_of_a_corpus_are_shown(object_store, tmp_path):
    folder = tiny_run.write_corpus(tmp_path / "c")
    remote = location(object_store.put_folder(folder, "c"))
    local, there = (
        list(corpus_lines(path, stream="en", rows=2, pieces=False))
        for path in (folder, remote)
    )
    assert local == there


def test_a_write_that_is_refused_is_one_sentence(trained, object_store, tmp_path):
    (tmp_path / "lines").write_bytes(SRC)
    object_store.fail(status=403, method="write")
    for write in (
        lambda: embed_file(
            trained, str(tmp_path / "lines"), object_store.path("x.npy"), note=str
        ),
        lambda: convert(f"amber:{trained}", f"hf:{object_store.path('hf')}"),
    ):
        with pytest.raises(
            UserError, match="cannot be written .*Forbidden.*credentials"
        ):
            write()


def test_what_is_not_there_is_one_sentence(trained, object_store, tmp_path):
    with pytest.raises(UserError, match="no complete checkpoint in gs://.*/nothing"):
        amber_jax.load(object_store.path("nothing"))
    output = str(tmp_path / "x.npy")
    with pytest.raises(UserError, match="nothing: cannot be read .*No such file"):
        embed_file(trained, object_store.path("nothing"), output, note=str)

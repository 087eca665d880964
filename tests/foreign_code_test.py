"""Other people's folders are read, never run: resume, evaluation, loading, export."""

import json
import shutil

import pytest
import tiny_checkpoint
import tiny_run

import amber_jax
from amber_jax import config as settings
from amber_jax.commands import conversion, evaluate
from amber_jax.errors import UserError
from amber_jax.pretraining.run import pretrain

# What a program that trusts its folder would import, run or unpickle.
NAMES = (
    *("config.py", "run.py", "amber_tiny.py", "__init__.py", "conftest.py"),
    *("sitecustomize.py", "modeling.py", "configuration.py", "tokenization.py"),
    *("json.py", "setup.py", "pytorch_model.bin.py"),
)


@pytest.fixture
def plant(tmp_path):
    """A function: puts programs into folders; the test fails if one of them is run."""
    marker = tmp_path / "ran"

    def plant(*folders):
        for folder in folders:
            for name in NAMES:
                program = f"open({str(marker)!r}, 'a').write({name!r})\nraise OSError"
                (folder / name).write_text(program, "utf-8")

    yield plant
    assert not marker.exists(), marker.read_text("utf-8")


def checkpoint_of(folder):
    tokenizer = tiny_run.save_tokenizer(folder / "tokenizer")
    return tiny_checkpoint.write(folder / "7", tokenizer, extra_parts=("pooler",))


def test_a_run_goes_on_by_its_json(plant, tmp_path, monkeypatch):
    config = tiny_run.get_config()
    config.corpus = str(tiny_run.write_corpus(tmp_path / "corpus"))
    config.stages, config.save_every = config.stages[:1], 1
    config.stages[0].num_steps = 2
    workdir = tmp_path / "run"
    pretrain(config, workdir, note=lambda _: None)
    plant(workdir, workdir / "checkpoints", tmp_path / "corpus")
    shutil.rmtree(workdir / "checkpoints" / "2")
    monkeypatch.chdir(workdir)
    state = pretrain(config, workdir, note=lambda _: None)
    assert int(state.step) == 2
    assert (workdir / "checkpoints" / "2").is_dir()


def test_a_checkpoint_is_loaded_and_evaluated_by_its_json(plant, tmp_path, monkeypatch):
    checkpoint = checkpoint_of(tmp_path)
    table = tmp_path / "table.tsv"
    table.write_text("en\tfr\n1 2\t3 4\n5\t6 7\n", "utf-8")
    plant(tmp_path, checkpoint / "tokenizer")
    monkeypatch.chdir(tmp_path)
    config = settings.evaluation()
    config.retrievals = (tiny_run.retrieval(table),)
    results = evaluate.evaluate(
        config, tmp_path / "7", tmp_path / "scores", note=lambda _: None
    )
    assert results


@pytest.mark.parametrize("kind", ["hf", "sentence-transformers"])
def test_an_exported_folder_with_code_in_it_is_only_read(
    kind, plant, tmp_path, monkeypatch
):
    checkpoint = checkpoint_of(tmp_path)
    folder = tmp_path / "exported"
    quiet = {"options": conversion.ExportOptions(), "note": lambda _: None}
    place = conversion.Place(kind, folder)
    conversion.convert(conversion.Place("amber", checkpoint), place, **quiet)
    plant(folder, *(path for path in folder.iterdir() if path.is_dir()))
    monkeypatch.chdir(folder)
    model = amber_jax.load(folder)
    assert model.encode(["1 2 3"]).shape == (1, 16)
    back = conversion.Place("amber", tmp_path / "back")
    conversion.convert(place, back, **quiet)
    assert back.path.is_dir()
    # A folder that says it needs its code is refused.
    config = folder / "config.json"
    mapped = {"auto_map": {"AutoModel": "modeling.Model"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | mapped), "utf-8")
    with pytest.raises(UserError, match="auto_map"):
        amber_jax.load(folder)

"""The command: every pair of formats, whole folders or none, one-sentence errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_checkpoint

from amber_jax.commands import conversion
from amber_jax.errors import UserError
from amber_jax.inference.loading import init_params, load_model
from amber_jax.training.checkpoint import find_checkpoint, restore_params
from amber_jax.training.keys import init_key

ROOT = Path(__file__).parents[2]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "launch/convert.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_equal(bert, other):
    jax.tree.map(np.testing.assert_array_equal, bert.params, other.params)
    assert bert.params.keys() == other.params.keys()
    assert bert.config == other.config
    assert bert.tokenizer.fingerprint == other.tokenizer.fingerprint


@pytest.fixture(scope="module")
def pooled(wordpiece, tmp_path_factory):
    """A checkpoint of the parts that every format has: encoder and pooler."""
    folder = tmp_path_factory.mktemp("pooled")
    whole = tiny_checkpoint.write(folder / "whole", wordpiece, extra_parts=("pooler",))
    target = conversion.Place("sentence-transformers", folder / "st")
    quiet = {"options": conversion.ExportOptions(), "note": lambda _: None}
    conversion.convert(conversion.Place("amber", whole), target, **quiet)
    conversion.convert(target, conversion.Place("amber", folder / "amber"), **quiet)
    return folder / "amber"


@pytest.mark.parametrize(
    "way",
    [
        ("hf", "tf1", "hf"),
        ("hf", "sentence-transformers", "hf"),
        ("tf1", "sentence-transformers", "tf1"),
    ],
)
def test_there_and_back_between_any_two_formats_is_bit_equal(
    way, pooled, convert, tmp_path
):
    here = f"amber:{pooled}"
    for number, name in enumerate([*way, "amber"]):
        there = f"{name}:{tmp_path / str(number)}"
        convert(here, there)
        here = there
    assert_equal(load_model(pooled), load_model(tmp_path / str(number)))


def test_a_sentencepiece_model_is_bit_equal_too(unigram, convert, tmp_path):
    checkpoint = tiny_checkpoint.write(tmp_path / "amber", unigram)
    convert(f"amber:{checkpoint}", f"hf:{tmp_path / 'hf'}", max_shard_bytes=5000)
    assert (tmp_path / "hf" / "model.safetensors.index.json").is_file()
    convert(f"hf:{tmp_path / 'hf'}", f"amber:{tmp_path / 'back'}")
    assert_equal(load_model(checkpoint), load_model(tmp_path / "back"))


def test_training_can_begin_from_what_came_in(checkpoint, convert, tmp_path):
    convert(f"amber:{checkpoint}", f"hf:{tmp_path / 'hf'}")
    convert(f"hf:{tmp_path / 'hf'}", f"amber:{tmp_path / 'back'}")
    model = load_model(tmp_path / "back")
    wanted = jax.eval_shape(lambda: init_params(model.config, init_key(0)))
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), wanted
    )
    params = restore_params(find_checkpoint(tmp_path / "back"), abstract)
    assert params.keys() == {"encoder", "mlm_head"}
    jax.tree.map(
        np.testing.assert_array_equal,
        params,
        {part: model.params[part] for part in params},
    )
    assert model.checkpoint.run["converted_from"] == f"hf:{tmp_path / 'hf'}"


def test_the_head_of_a_task_stays_behind_and_that_is_said(wordpiece, convert, tmp_path):
    checkpoint = tiny_checkpoint.write(
        tmp_path / "amber", wordpiece, extra_parts=("head",)
    )
    messages = convert(f"amber:{checkpoint}", f"hf:{tmp_path / 'hf'}")
    assert messages[0] == "left behind: head (of a task)"


def test_the_command_says_what_it_did(checkpoint, tmp_path):
    source, target = f"amber:{checkpoint}", f"hf:{tmp_path / 'out'}"
    done = command(f"--from={source}", f"--to={target}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{source} -> {target}: encoder, mlm_head, ")
    assert "parameters, 2 layers of 16, vocabulary 18" in done.stdout


def test_nothing_is_written_over(checkpoint, convert, tmp_path):
    (tmp_path / "file").touch()
    for name in conversion.FORMATS:
        for there in (tmp_path, tmp_path / "file"):
            with pytest.raises(UserError, match="is there already; give --to a folder"):
                convert(f"amber:{checkpoint}", f"{name}:{there}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_empty_folder_is_as_good_as_none(checkpoint, convert, tmp_path):
    for target in ("hf", "amber"):
        (tmp_path / target).mkdir()
        convert(f"amber:{checkpoint}", f"{target}:{tmp_path / target}")
        assert any((tmp_path / target).iterdir())


@pytest.mark.parametrize("text", ["hf", "hf:", "bert:x", "", ":x", "/models/mbert"])
def test_a_place_without_a_format_is_refused(text):
    with pytest.raises(UserError, match="--from is .*; wanted FORMAT:PATH"):
        conversion.parse_place(text, "--from")


def test_a_path_may_hold_colons():
    place = conversion.parse_place("hf:C:/x", "--to")
    assert place == conversion.Place("hf", Path("C:/x"))


def test_a_source_that_is_not_there_is_refused(convert, tmp_path):
    for name in conversion.FORMATS:
        with pytest.raises(UserError, match="nowhere"):
            convert(f"{name}:{tmp_path / 'nowhere'}", f"hf:{tmp_path / 'out'}")
    assert not any(tmp_path.iterdir())


def test_a_write_that_fails_leaves_nothing(checkpoint, convert, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amber_jax.convert.huggingface.write_weights", full)
    with pytest.raises(UserError, match="No space left on device"):
        convert(f"amber:{checkpoint}", f"hf:{tmp_path / 'out'}")
    assert not any(tmp_path.iterdir())


def test_a_target_below_a_file_is_refused(checkpoint, convert, tmp_path):
    (tmp_path / "file").touch()
    for target in ("hf", "amber"):
        with pytest.raises(UserError, match=r"file.* cannot be written"):
            convert(f"amber:{checkpoint}", f"{target}:{tmp_path / 'file' / 'out'}")


def test_a_damaged_checkpoint_is_refused(checkpoint, convert, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    run = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(run | {"step": 8}))
    with pytest.raises(UserError, match="is damaged"):
        convert(f"amber:{copy}", f"hf:{tmp_path / 'out'}")

"""Checkpoints come back bit for bit, anywhere, or are refused with the reason."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from full_disk import full_disk

from amber_jax.errors import UserError
from amber_jax.training.checkpoint import (
    CheckpointWriter,
    find_checkpoint,
    newest_checkpoint,
    restore_params,
    restore_state,
    save_params,
)
from amber_jax.training.manifest import MANIFEST, RUN
from amber_jax.training.parallel import build_backend
from amber_jax.training.state import new_state

OPTIMIZER = optax.scale_by_adam()
EXTRA = "tokenizer.txt"


def make_state(step=3, *, width=8):
    """A state whose numbers depend on `step`, awkward ones among them."""
    random = np.random.default_rng(step)
    kernel = random.normal(size=(16, width)).astype(np.float32)
    kernel.flat[:4] = [-0.0, np.inf, 1e-42, np.nan]
    params = {"layer": {"kernel": kernel, "bias": np.full(width, step, np.float32)}}
    state = new_state(jax.tree.map(jnp.asarray, params), OPTIMIZER)
    moments = jax.tree.map(lambda x: x + step, state.opt_state)
    return state._replace(step=jnp.int32(step), opt_state=moments, skipped=jnp.int32(2))


def abstract_like(state, backend="jit", *, fsdp=False, num_devices=1):
    place = build_backend(backend, fsdp=fsdp, num_devices=num_devices).place
    shapes = jax.eval_shape(lambda: state)
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        place(shapes),
    )


def writer_in(directory, *, keep=3, write_extras=None):
    write_extras = write_extras or (lambda path: (path / EXTRA).write_text("words"))
    return CheckpointWriter(directory, keep=keep, write_extras=write_extras)


def save(directory, *states, keep=3):
    writer = writer_in(directory, keep=keep)
    for state in states:
        writer.save(state, {"stage": "first"})
    writer.close()
    return directory


def steps_in(directory):
    return sorted(path.name for path in directory.iterdir())


def assert_same_bits(state, wanted):
    for leaf, other in zip(
        jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True
    ):
        leaf, other = np.asarray(leaf), np.asarray(other)
        assert (leaf.shape, leaf.dtype) == (other.shape, other.dtype)
        assert leaf.tobytes() == other.tobytes()


def notes():
    said = []
    return said, said.append


@pytest.fixture(scope="module")
def two_saved(tmp_path_factory):
    """A folder with the checkpoints 3 and 6; tests damage copies of it."""
    return save(tmp_path_factory.mktemp("two"), make_state(3), make_state(6))


@pytest.fixture
def two(two_saved, tmp_path):
    return shutil.copytree(two_saved, tmp_path / "checkpoints")


def test_a_state_comes_back_bit_for_bit(two):
    for step in (3, 6):
        state = make_state(step)
        checkpoint = find_checkpoint(two / str(step))
        restored = restore_state(checkpoint, abstract_like(state))
        assert_same_bits(restored, state)
        assert type(restored) is type(state)
    assert checkpoint.run["stage"] == "first"
    assert (checkpoint.path / EXTRA).read_text() == "words"


def test_parameters_can_be_restored_alone(two):
    state = make_state(6)
    params = restore_params(find_checkpoint(two), abstract_like(state).params)
    assert_same_bits(params, state.params)


@pytest.mark.parametrize(("width", "pieces"), [(8, 1), (1 << 18, 8)])
def test_small_arrays_are_written_in_one_piece_and_large_ones_by_all_devices(
    width, pieces, tmp_path
):
    """0.5 KB and 16 MB that eight devices hold."""
    state = make_state(3, width=width)
    everywhere = jax.tree.map(
        lambda shape: shape.sharding, abstract_like(state, "pmap", num_devices=8)
    )
    save(tmp_path, jax.device_put(state, everywhere))
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        written = reader.metadata(tmp_path / "3" / "params").item_metadata.tree["layer"]
    assert np.prod(written["kernel"].storage.chunk_shape) * pieces == 16 * width
    assert written["bias"].storage.chunk_shape == (width,)  # 1 MB, of each 128 KB


@pytest.mark.parametrize("saved", [("pmap", False, 8), ("jit", True, 8)])
def test_any_back_end_and_device_count_can_go_on(saved, tmp_path):
    backend, fsdp, num_devices = saved
    state = make_state()
    placed = build_backend(backend, fsdp=fsdp, num_devices=num_devices).place(state)
    save(tmp_path, jax.device_put(jax.tree.map(np.asarray, state), placed))
    for backend, fsdp, num_devices in [
        *(("pmap", False, 8), ("pmap", False, 1), ("jit", False, 2)),
        *(("jit", False, 8), ("jit", True, 8), ("jit", True, 4)),
    ]:
        wanted = abstract_like(state, backend, fsdp=fsdp, num_devices=num_devices)
        restored = restore_state(newest_checkpoint(tmp_path), wanted)
        assert_same_bits(restored, state)
        for leaf, plan in zip(
            jax.tree.leaves(restored), jax.tree.leaves(wanted), strict=True
        ):
            assert leaf.sharding == plan.sharding


def test_training_may_go_on_while_a_save_is_under_way(tmp_path):
    state = jax.jit(lambda: make_large_state())()
    before = jax.tree.map(np.array, state)
    update = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    writer = writer_in(tmp_path)
    writer.save(state, {})
    for _ in range(20):
        state = update(state)
    writer.close()
    checkpoint = newest_checkpoint(tmp_path)
    assert_same_bits(restore_state(checkpoint, abstract_like(before)), before)


def test_a_step_after_a_save_takes_no_second_state(tmp_path):
    state = jax.jit(lambda: make_large_state())()
    update = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    places = places_of(state)
    writer = writer_in(tmp_path)
    writer.save(state, {})
    assert places_of(update(state)) == places
    writer.close()


def places_of(state):
    return {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)}


def make_large_state():
    return new_state({"kernel": jnp.arange(2.0**21)}, OPTIMIZER)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


FAULTS = {
    "truncated": (truncate, "bytes, not"),
    "a flipped bit": (flip, "sha256 differs"),
    "deleted": (lambda file: file.unlink(), "is missing"),
    "emptied": (lambda file: file.write_bytes(b""), "has 0 bytes, not"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_to_any_file_is_noticed_and_the_one_before_is_used(fault, two):
    damage, reason = FAULTS[fault]
    files = [path for path in (two / "6").rglob("*") if path.is_file()]
    contents = {file: file.read_bytes() for file in files}
    assert len(files) > 8
    for file in files:
        if not contents[file] and fault != "deleted":
            continue
        damage(file)
        said, note = notes()
        checkpoint = newest_checkpoint(two, note)
        assert checkpoint.step == 3, file
        assert len(said) == 1
        assert str(two / "6") in said[0]
        if file.name != MANIFEST:
            assert file.name in said[0]
            assert reason in said[0]
        file.write_bytes(contents[file])
    assert newest_checkpoint(two).step == 6, "all of it was put back"


@pytest.mark.parametrize(
    "manifest",
    [
        *("", "[]", "{", "null", '{"run.json": 5}', '{"run.json": {}}', "\x00"),
        *('{"a": []}', '{"files": 7}', '{"files": [], "fingerprint": null}'),
        *("[" * 100_000, '{"files":' * 100_000, "9" * 10_000),
    ],
    ids=lambda text: text[:20],
)
def test_a_manifest_that_is_none_is_noticed(two, manifest):
    (two / "6" / MANIFEST).write_text(manifest)
    said, note = notes()
    assert newest_checkpoint(two, note).step == 3
    assert len(said) == 1


def test_a_manifest_that_vouches_for_nothing_is_noticed(two):
    (two / "6" / MANIFEST).write_text("{}")
    assert newest_checkpoint(two, lambda _: None).step == 3


@pytest.mark.parametrize("part", ["params", "training", EXTRA, RUN])
def test_a_part_that_is_gone_from_folder_and_manifest_is_noticed(two, part):
    folder = two / "6"
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in [name for name in manifest["files"] if name.split("/")[0] == part]:
        del manifest["files"][name]
        (folder / name).unlink()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert newest_checkpoint(two, lambda _: None).step == 3


@pytest.mark.parametrize("part", ["params", RUN])
def test_a_manifest_of_before_must_list_what_every_checkpoint_has(two, part):
    folder = two / "6"
    files = json.loads((folder / MANIFEST).read_text())["files"]
    (folder / MANIFEST).write_text(json.dumps(files))
    assert newest_checkpoint(two).step == 6
    rest = {name: of for name, of in files.items() if name.split("/")[0] != part}
    (folder / MANIFEST).write_text(json.dumps(rest))
    assert newest_checkpoint(two, lambda _: None).step == 3


def test_training_cannot_go_on_from_a_checkpoint_without_its_memory(two):
    folder = two / "6"
    files = json.loads((folder / MANIFEST).read_text())["files"]
    rest = {name: of for name, of in files.items() if not name.startswith("training")}
    shutil.rmtree(folder / "training")
    (folder / MANIFEST).write_text(json.dumps(rest))  # as before it vouched for itself
    with pytest.raises(UserError, match="training/"):
        restore_state(newest_checkpoint(two), abstract_like(make_state(6)))


def test_folders_and_files_that_are_no_checkpoints_are_passed_over(two):
    (two / "999").mkdir()
    (two / "1000").write_text("a file")
    (two / "²").mkdir()
    (two / "notes").mkdir()
    said, note = notes()
    assert newest_checkpoint(two, note).step == 6
    assert [sentence.split(" is not used: ")[1] for sentence in said] == [
        "MANIFEST.json is not readable (Not a directory)",
        "it has no MANIFEST.json",
    ]


def test_nothing_good_is_no_checkpoint(two, tmp_path):
    for step in ("3", "6"):
        (two / step / RUN).unlink()
    assert newest_checkpoint(two, lambda _: None) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None
    with pytest.raises(UserError, match="no complete checkpoint in"):
        find_checkpoint(two, lambda _: None)


def test_a_checkpoint_is_found_by_its_folder_or_its_run(two):
    for path in (two / "6", two, two.parent):
        assert find_checkpoint(path).path == two / "6"
    assert find_checkpoint(two / "3").step == 3


def test_a_damaged_checkpoint_that_was_asked_for_by_name_is_refused(two):
    flip(two / "6" / EXTRA)
    with pytest.raises(UserError, match=f"6 is damaged: {EXTRA} .*use another step"):
        find_checkpoint(two / "6")


def test_a_model_of_another_size_is_refused_by_its_first_parameter(two):
    other = abstract_like(make_state(width=4))
    with pytest.raises(UserError) as caught:
        restore_state(newest_checkpoint(two), other)
    assert "parameter layer/bias is [8] there and [4] here" in str(caught.value)


def test_a_model_with_other_parameters_is_refused(two):
    params = {"layer": {"kernel": jnp.zeros((16, 8))}}
    other = abstract_like(new_state(params, OPTIMIZER))
    with pytest.raises(UserError, match=r"layer/bias is \[8\] there and absent here"):
        restore_state(newest_checkpoint(two), other)
    with pytest.raises(UserError, match=r"head is absent there and \[2\] here"):
        restore_params(newest_checkpoint(two), {"head": jnp.zeros(2), **params})


def test_a_copy_elsewhere_is_as_good(two, tmp_path):
    copy = shutil.copytree(two, tmp_path / "else" / "where")
    shutil.rmtree(two)
    state = make_state(6)
    assert_same_bits(
        restore_state(newest_checkpoint(copy), abstract_like(state)), state
    )


def test_what_a_killed_save_left_is_removed_at_the_start(two):
    for name in ("9.partial", "12.partial.orbax-checkpoint-tmp"):
        shutil.copytree(two / "6", two / name)
    assert newest_checkpoint(two).step == 6, "they are no checkpoints"
    writer_in(two).close()
    assert steps_in(two) == ["3", "6"]


def test_the_newest_ones_stay(tmp_path):
    states = [make_state(step) for step in (2, 4, 6, 8, 10)]
    save(tmp_path, *states, keep=2)
    assert steps_in(tmp_path) == ["10", "8"]
    assert not list(tmp_path.glob("*.partial"))


def test_multiples_of_a_number_of_steps_stay_besides(tmp_path):
    writer = CheckpointWriter(
        tmp_path, keep=2, write_extras=lambda path: None, keep_every=4
    )
    for step in range(2, 13, 2):
        writer.save(make_state(step), {"stage": "first"})
    writer.close()
    assert steps_in(tmp_path) == ["10", "12", "4", "8"]


def test_damaged_ones_do_not_count_among_those_that_stay(two):
    flip(two / "6" / "params" / "_METADATA")
    (two / "7").mkdir()
    save(two, make_state(8), keep=2)
    assert newest_checkpoint(two).step == 8
    (two / "8" / RUN).unlink()
    assert newest_checkpoint(two, lambda _: None).step == 3


def test_saving_a_step_again_leaves_a_good_one_and_replaces_a_damaged_one(two):
    before = (two / "6" / MANIFEST).stat().st_mtime_ns
    save(two, make_state(6))
    assert (two / "6" / MANIFEST).stat().st_mtime_ns == before
    truncate(two / "6" / RUN)
    save(two, make_state(6))
    assert newest_checkpoint(two).step == 6


def test_a_failed_save_is_told_and_leaves_the_ones_before(two):
    def disk_full(path):
        raise OSError(28, "No space left on device")

    writer = writer_in(two, write_extras=disk_full)
    writer.save(make_state(9), {})
    with pytest.raises(UserError, match="checkpoint 9 .*No space left on device"):
        writer.save(make_state(12), {})
    writer.close()
    assert steps_in(two) == ["3", "6"]
    assert newest_checkpoint(two).step == 6


def test_a_full_disk_is_one_error_and_no_output(two, capfd):
    writer = writer_in(two)
    state = make_large_state()._replace(step=jnp.int32(9))
    with full_disk(room=2000), pytest.raises(UserError, match="checkpoint 9 cannot"):
        try:
            writer.save(state, {})
        finally:
            writer.close()
    assert steps_in(two) == ["3", "6"]
    assert capfd.readouterr() == ("", "")


def test_parameters_on_a_full_disk_leave_what_was_there(tmp_path, capfd):
    path = tmp_path / "best"
    params = {"encoder": {"kernel": jnp.ones(4)}}
    save_params(path, params, {"step": 1}, write_extras=lambda folder: None)
    large = {"encoder": {"kernel": make_large_state().params["kernel"]}}
    with full_disk(room=2000), pytest.raises(UserError, match="best cannot be written"):
        save_params(path, large, {"step": 2}, write_extras=lambda folder: None)
    assert find_checkpoint(path).step == 1
    assert steps_in(tmp_path) == ["best"]
    assert capfd.readouterr() == ("", "")


def test_the_manifest_names_every_file(two):
    folder = two / "6"
    files = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }
    listed = json.loads((folder / MANIFEST).read_text())["files"]
    assert listed.keys() == files - {MANIFEST}
    assert {RUN, EXTRA} < files


def test_nothing_in_a_checkpoint_is_a_pickle(two):
    for file in (two / "6").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            # How pickles of protocols 2 to 5 begin, and how a frame of 4 and 5 does.
            assert data[:1] != b"\x80" or data[1:2] not in (b"\2", b"\3", b"\4", b"\5")
            assert b"\x80\x04\x95" not in data
            assert b"\x80\x05\x95" not in data

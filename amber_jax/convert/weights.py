"""Files of weights: safetensors in and out, PyTorch's .bin in; whole or in shards.

No file can run code: safetensors holds none, and a .bin goes through PyTorch's reader
of tensors and nothing else, which needs PyTorch.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from jax import numpy as jnp
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from amber_jax.errors import UserError, from_extra
from amber_jax.files import write_json, writing
from amber_jax.storage import local_copy
from amber_jax.tokenization.json_files import inside, read_object

Tensors = dict[str, np.ndarray]
SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"
# Older readers of tensors could be made to run code: CVE-2025-32434.
_SAFE_TORCH = (2, 6)
_WIDER = (np.float16, jnp.bfloat16, np.float64)


def read_weights(folder: Path) -> Tensors:
    """Returns all tensors of a folder by name, in the types they are stored in.

    `model.safetensors` is preferred to `pytorch_model.bin`, a whole file to shards.

    Raises:
        UserError: there is none, it is damaged, or it holds anything but tensors.
    """
    readers = {SAFETENSORS: _read_safetensors, BIN: _read_bin}
    for name, read in readers.items():
        if (folder / name).is_file():
            return read(folder / name)
        if (folder / (name + _INDEX)).is_file():
            return _read_shards(folder / (name + _INDEX), read)
    raise UserError(
        f"{folder}: has no weights; wanted {SAFETENSORS} or {BIN}, or one of them in "
        f"shards with its {_INDEX[1:]}"
    )


def as_float32(
    tensors: Mapping[str, np.ndarray], *, origin: str
) -> tuple[Tensors, str]:
    """Returns the tensors as float32, and a sentence if that changed their type.

    Raises:
        UserError: a tensor is not of floating point, or holds NaN or Inf.
    """
    cast = [n for n, array in tensors.items() if array.dtype in _WIDER]
    arrays = {}
    for name, array in tensors.items():
        if array.dtype != np.float32 and name not in cast:
            raise UserError(
                f"{origin}: {name} is of type {array.dtype}; wanted floating-point "
                "weights, not quantised ones"
            )
        arrays[name] = np.asarray(array, np.float32)
        if not np.isfinite(arrays[name]).all():
            raise UserError(
                f"{origin}: {name} holds NaN or Inf; the weights are broken, use an "
                "intact copy"
            )
    if not cast:
        return arrays, ""
    types = ", ".join(sorted({str(tensors[name].dtype) for name in cast}))
    return arrays, f"{len(cast)} arrays were cast to float32 from {types}"


def write_weights(folder: Path, tensors: Tensors, *, max_shard_bytes: int) -> None:
    """Writes safetensors: one file, or shards of at most that size and their index.

    An array that is larger by itself gets a shard of its own.
    """
    shards = list(_shards(tensors, max_shard_bytes))
    if len(shards) == 1:
        _write_file(folder / SAFETENSORS, tensors)
        return
    places = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(folder / name, shard)
        places |= dict.fromkeys(shard, name)
    size = sum(array.nbytes for array in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    write_json(folder / (SAFETENSORS + _INDEX), index)


def _write_file(path: Path, tensors: Tensors) -> None:
    with writing(path, errors=(OSError, SafetensorError)):
        # "pt": whose layout it is; Hugging Face's readers insist on it.
        save_file(tensors, path, metadata={"format": "pt"})
    # The library lets nobody else read it, unlike the files beside it.
    path.chmod(path.parent.stat().st_mode & 0o666)


def _shards(tensors: Tensors, max_bytes: int) -> Iterator[Tensors]:
    shard: Tensors = {}
    size = 0
    for name, array in tensors.items():
        if shard and size + array.nbytes > max_bytes:
            yield shard
            shard, size = {}, 0
        shard[name] = array
        size += array.nbytes
    yield shard


def _read_shards(index: Path, read: Callable[[Path], Tensors]) -> Tensors:
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise UserError(f"{index}: has no weight_map; use an intact copy")
    files = {name: inside(index.parent, name, origin=index) for name in places.values()}
    tensors: Tensors = {}
    for name, file in files.items():
        if not file.is_file():
            raise UserError(f"{index}: names {name}, which is not there; fetch it too")
        shard = read(file)
        listed = {tensor for tensor, place in places.items() if place == name}
        if shard.keys() != listed:
            odd = min(shard.keys() ^ listed)
            raise UserError(
                f"{index}: does not agree with {name} about {odd}; use files that "
                "belong together"
            )
        tensors |= shard
    return tensors


def _read_safetensors(path: Path) -> Tensors:
    copy = local_copy(path)
    try:
        with safe_open(copy, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    # Types that NumPy lacks come as AttributeError and TypeError.
    except (SafetensorError, OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path}: is not a safetensors file of plain numbers, or is damaged "
            f"({_one_line(error)}); use an intact copy"
        ) from error


def _read_bin(path: Path) -> Tensors:
    copy = local_copy(path)
    _refuse_foreign_paths(path, copy)
    need = f"{path}: a .bin file is read with PyTorch"
    with from_extra("hf", need, "give the model as safetensors"):
        import torch
    if tuple(map(int, torch.__version__.split(".")[:2])) < _SAFE_TORCH:
        raise UserError(
            f"{path}: PyTorch {torch.__version__} can be made to run code by such a "
            f"file; install {'.'.join(map(str, _SAFE_TORCH))} or newer"
        )
    try:
        tensors = torch.load(copy, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a hostile file can fail in any way
        raise UserError(
            f"{path}: is damaged, or holds something else than tensors, which could be "
            "code; it was not run; use an intact copy, or safetensors"
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor)
        for name, value in tensors.items()
    ):
        raise UserError(
            f"{path}: is not a file of named tensors, as a model's weights are; use "
            "the file that PyTorch's state_dict was saved to"
        )
    try:
        return {
            # NumPy has no bfloat16 of its own: the bits travel as integers.
            name: value.detach().view(torch.int16).numpy().view(jnp.bfloat16)
            if value.dtype == torch.bfloat16
            else value.detach().numpy()
            for name, value in tensors.items()
        }
    except (RuntimeError, TypeError) as error:  # sparse, quantised, or without data
        raise UserError(
            f"{path}: holds tensors that are no plain arrays "
            f"({str(error).splitlines()[0]}); save them dense, in float32"
        ) from error


def _refuse_foreign_paths(path: Path, copy: Path) -> None:
    if not zipfile.is_zipfile(copy):
        return  # before PyTorch 1.6 it was none
    try:
        with zipfile.ZipFile(copy) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path}: is damaged ({error}); use an intact copy") from error
    for name in names:
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
            raise UserError(
                f"{path}: holds an entry that leads out of it, {name!r}; such a file "
                "is not read"
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

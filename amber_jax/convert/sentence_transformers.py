"""sentence-transformers' folder: Hugging Face's, and how vectors of sentences are made.

A mean that leaves out [CLS] and [SEP] is said with that library's `WordWeights`, which
give the two tokens no weight; BERT's pooler, with a `Dense` behind the vector of [CLS].

Source: `Transformer`, `Pooling`, `Dense`, `Normalize` and `SentenceTransformer` of
sentence-transformers 5 and 6.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amber_jax.convert import architecture, huggingface
from amber_jax.convert.bert import Bert
from amber_jax.convert.weights import as_float32, read_weights, write_weights
from amber_jax.errors import UserError
from amber_jax.files import write_json
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.sentence_vector import EncodingDefaults, SentenceVector
from amber_jax.tokenization.json_files import (
    inside,
    read_json,
    read_object,
    read_optional,
)
from amber_jax.tokenization.tokenizer import CONFIG_FILE

_MODULES, _MODULE_CONFIG = "modules.json", "config.json"
_TRANSFORMER_CONFIG = "sentence_bert_config.json"
_LIBRARY_CONFIG = "config_sentence_transformers.json"
_PACKAGE = "sentence_transformers.models"
# Arguments of the library's that are kept in the folder, under old names and new.
_ARGUMENTS = (
    *("tokenizer_args", "processor_kwargs", "config_args", "config_kwargs"),
    *("processing_kwargs", "tokenizer_name_or_path"),
)
_POOLINGS = {"mean": "mean", "first": "cls"}  # ours -> theirs; a pooler is a Dense
_ORDER = ("Transformer", "WordWeights", "Pooling", "Dense", "Normalize")
_SHORTEST = 3  # tokens: a piece and its specials
_TANH = "torch.nn.modules.activation.Tanh"
# Of files of version 5 and older, which newer versions read too.
_FLAGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
_OTHER_FLAGS = (
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
)


def write(folder: Path, bert: Bert, *, max_shard_bytes: int) -> None:
    """Writes a model `without_heads` and its pooling into an existing folder."""
    huggingface.write(folder, bert, max_shard_bytes=max_shard_bytes)
    names = _modules_of(bert)
    paths = ["", *(f"{number}_{name}" for number, name in enumerate(names) if number)]
    contents = {"WordWeights": _write_weights_of_words, "Dense": _write_dense}
    for path, name in zip(paths[1:], names[1:], strict=True):
        (folder / path).mkdir()
        if name in contents:
            contents[name](folder / path, bert)
        elif name == "Pooling":
            write_json(folder / path / _MODULE_CONFIG, _pooling(bert))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{_PACKAGE}.{name}"}
        for i, (path, name) in enumerate(zip(paths, names, strict=True))
    ]
    write_json(folder / _MODULES, modules)
    encoding = bert.encoding
    transformer: dict[str, Any] = {
        "max_seq_length": encoding.max_length or bert.config.usable_positions,
        "do_lower_case": False,
    }
    if "pooler" not in bert.params:  # it would be made anew, with a warning
        transformer["model_args"] = {"add_pooling_layer": False}
    write_json(folder / _TRANSFORMER_CONFIG, transformer)
    library: dict[str, Any] = {"similarity_fn_name": "cosine"}
    if encoding.prompts:
        library["prompts"] = dict(encoding.prompts)
        library["default_prompt_name"] = encoding.default_prompt
    write_json(folder / _LIBRARY_CONFIG, library)


def read(folder: Path) -> Bert:
    """Returns the model in a folder.

    Raises:
        UserError: as `huggingface.read`, or its vectors are made in a way that is not
            possible here.
    """
    modules = _modules(folder)
    bert = huggingface.read(modules["Transformer"])
    settings = modules["Transformer"] / _TRANSFORMER_CONFIG
    if read_optional(settings).get("do_lower_case"):
        raise UserError(
            f"{settings}: do_lower_case is set; only cased models can be converted"
        )
    special_tokens = "WordWeights" not in modules
    if not special_tokens:
        _require_known_weights(modules["WordWeights"] / _MODULE_CONFIG, bert)
    pooling = _read_pooling(modules["Pooling"] / _MODULE_CONFIG)
    params, notes = bert.params, bert.notes
    if "Dense" in modules:
        pooler = _read_dense(modules["Dense"], bert.config, pooling)
        if not _same(pooler, params.get("pooler", pooler)):
            notes += (f"left behind: pooler, {modules['Dense']} takes its place",)
        params, pooling = {**params, "pooler": pooler}, "pooler"
    return dataclasses.replace(
        bert,
        params=params,
        sentence_vector=SentenceVector(pooling=pooling, special_tokens=special_tokens),
        encoding=_read_encoding(folder, modules, bert.config),
        notes=(*notes, *_settings_left_behind(folder, modules)),
    )


def read_config(folder: Path) -> EncoderConfig:
    """The encoder of a folder.

    Raises:
        UserError: as `read`, of what the folder says without its weights.
    """
    return architecture.read_config(_modules(folder)["Transformer"])


def _modules_of(bert: Bert) -> list[str]:
    vector = bert.sentence_vector
    wanted = {
        "Transformer": True,
        "WordWeights": vector.pooling == "mean" and not vector.special_tokens,
        "Pooling": True,
        "Dense": vector.pooling == "pooler",
        "Normalize": bert.encoding.normalize,
    }
    return [name for name in _ORDER if wanted[name]]


def _pooling(bert: Bert) -> dict[str, Any]:
    mode = _POOLINGS.get(bert.sentence_vector.pooling, "cls")
    flags = {flag: name == mode for name, flag in _FLAGS.items()}
    flags |= dict.fromkeys(_OTHER_FLAGS, False)
    size = bert.config.hidden_size
    return {"word_embedding_dimension": size, **flags, "include_prompt": True}


def _weights_of_words(bert: Bert) -> dict[str, Any]:
    special = bert.tokenizer.special
    left_out = bert.tokenizer.pieces([special.cls, special.sep])
    return {"word_weights": dict.fromkeys(left_out, 0), "unknown_word_weight": 1}


def _write_weights_of_words(folder: Path, bert: Bert) -> None:
    pieces = list(bert.tokenizer.pieces(range(bert.tokenizer.vocab_size)))
    weights = _weights_of_words(bert)
    write_json(folder / _MODULE_CONFIG, {"vocab": pieces, **weights})
    of_ids = np.array([p not in weights["word_weights"] for p in pieces], np.float32)
    write_weights(
        folder, {"emb_layer.weight": of_ids[:, None]}, max_shard_bytes=1 << 40
    )


def _write_dense(folder: Path, bert: Bert) -> None:
    write_json(folder / _MODULE_CONFIG, _dense(bert.config.hidden_size))
    pooler = bert.params["pooler"]
    tensors = {
        "linear.weight": np.ascontiguousarray(pooler["kernel"].T),
        "linear.bias": np.asarray(pooler["bias"]),
    }
    write_weights(folder, tensors, max_shard_bytes=1 << 40)


def _dense(size: int) -> dict[str, Any]:
    """Returns the settings of a `Dense` that is BERT's pooler."""
    return {
        "in_features": size,
        "out_features": size,
        "bias": True,
        "activation_function": _TANH,
    }


def _read_dense(folder: Path, config: EncoderConfig, pooling: str) -> dict[str, Any]:
    """Returns the pooler's parameters.

    Raises:
        UserError: the module is none, or does not stand on [CLS].
    """
    path = folder / _MODULE_CONFIG
    content = {"bias": True, **read_object(path), "pooling": pooling}
    for field, wanted in {**_dense(config.hidden_size), "pooling": "first"}.items():
        if content.get(field) != wanted:
            raise UserError(
                f"{path}: {field} is {content.get(field)!r:.80}; the only Dense that "
                f"can be converted is BERT's pooler, with {field} {wanted!r}"
            )
    tensors, _ = as_float32(read_weights(folder), origin=str(folder))
    size = config.hidden_size
    shapes = {name: array.shape for name, array in tensors.items()}
    if shapes != {"linear.weight": (size, size), "linear.bias": (size,)}:
        raise UserError(
            f"{folder}: holds {shapes}; wanted linear.weight and linear.bias of a "
            f"Dense of {size}"
        )
    kernel = np.ascontiguousarray(tensors["linear.weight"].T)
    return {"kernel": kernel, "bias": tensors["linear.bias"]}


def _same(pooler: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return all(np.array_equal(pooler[name], other[name]) for name in pooler)


def _modules(folder: Path) -> dict[str, Path]:
    """Returns {class: its folder}, in order."""
    path = folder / _MODULES
    entries = read_json(path)
    modules = {}
    try:
        for entry in entries:
            name = entry["type"].rsplit(".", 1)[-1]
            place = entry["path"].rstrip("/")
            modules[name] = inside(folder, place, origin=path) if place else folder
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: is not a list of modules; use an intact copy"
        ) from error
    classes = list(modules)
    if not _is_known(classes) or len(classes) != len(entries):
        raise UserError(
            f"{path}: its modules are {', '.join(classes)}; only Transformer, Pooling, "
            "the WordWeights of an export of ours, a Dense that is BERT's pooler and "
            "Normalize can be converted"
        )
    return modules


def _is_known(classes: Sequence[str]) -> bool:
    known = [name for name in _ORDER if name in classes]
    return classes == known and {"Transformer", "Pooling"} <= set(known)


def _require_known_weights(path: Path, bert: Bert) -> None:
    content, known = read_object(path), _weights_of_words(bert)
    if any(content.get(field) != value for field, value in known.items()):
        raise UserError(
            f"{path}: weighs words; only weights that leave out "
            f"{' and '.join(known['word_weights'])} can be converted"
        )


def _read_encoding(
    folder: Path, modules: Mapping[str, Path], config: EncoderConfig
) -> EncodingDefaults:
    path = folder / _LIBRARY_CONFIG
    library = read_optional(path)
    prompts = library.get("prompts") or {}
    default = library.get("default_prompt_name")
    texts = list(prompts.values()) if isinstance(prompts, Mapping) else [None]
    if not all(isinstance(text, str) for text in texts) or default not in (
        None,
        *prompts,
    ):
        raise UserError(
            f"{path}: prompts is {prompts!r:.200} and default_prompt_name "
            f"{default!r:.80}; wanted texts by name, and one of the names"
        )
    return EncodingDefaults(
        prompts=dict(prompts),
        default_prompt=default,
        max_length=_read_max_length(modules["Transformer"], config),
        normalize="Normalize" in modules,
    )


def _read_max_length(folder: Path, config: EncoderConfig) -> int | None:
    """Returns the tokens at which sentences are cut; None if the positions say that."""
    path, name = folder / _TRANSFORMER_CONFIG, "max_seq_length"
    length = read_optional(path).get(name)
    if length is None:  # as version 6 writes it
        path, name = folder / CONFIG_FILE, "model_max_length"
        length = read_optional(path).get(name)
    if length is None:
        return None
    if type(length) is not int or length < _SHORTEST:
        raise UserError(
            f"{path}: {name} is {length!r:.80}; wanted a number from {_SHORTEST} on"
        )
    return length if length < config.usable_positions else None


def _settings_left_behind(folder: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yields a sentence for every setting that changes vectors and is not kept."""
    transformer = read_optional(modules["Transformer"] / _TRANSFORMER_CONFIG)
    for name in _ARGUMENTS:
        if transformer.get(name):
            yield f"left behind: {name} {transformer[name]!r:.200}"
    library = read_optional(folder / _LIBRARY_CONFIG)
    pooling = read_optional(modules["Pooling"] / _MODULE_CONFIG)
    prompts = library.get("prompts")
    if prompts and any(prompts.values()) and pooling.get("include_prompt") is False:
        yield "left behind: include_prompt False; a prompt counts in the mean here"
    if library.get("truncate_dim") is not None:
        yield (
            f"left behind: truncate_dim {library['truncate_dim']!r:.80}; vectors keep "
            "all of their numbers here"
        )


def _read_pooling(path: Path) -> str:
    content = read_object(path)
    modes = _modes(content)
    ours = {theirs: name for name, theirs in _POOLINGS.items()}
    if len(modes) != 1 or modes[0] not in ours:
        raise UserError(
            f"{path}: its pooling is {' and '.join(map(str, modes)) or 'none'}; only "
            f"{' or '.join(ours)} can be converted"
        )
    return ours[modes[0]]


def _modes(content: Mapping[str, Any]) -> list[Any]:
    if "pooling_mode" in content:
        modes = content["pooling_mode"]
        return modes if isinstance(modes, list) else [modes]
    names = {flag: name for name, flag in _FLAGS.items()}
    flags = (*names, *_OTHER_FLAGS)
    return [names.get(flag, flag) for flag in flags if content.get(flag)]

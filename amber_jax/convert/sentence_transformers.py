"""sentence-transformers' folder: Hugging Face's, and how vectors of sentences are made.

A mean that leaves out [CLS] and [SEP] is said with that library's `WordWeights`, which
give the two tokens no weight.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amber_jax.convert import huggingface
from amber_jax.convert.bert import Bert
from amber_jax.convert.json_files import inside, read_json, read_object, read_optional
from amber_jax.convert.weights import write_weights
from amber_jax.errors import UserError
from amber_jax.files import write_json
from amber_jax.model.sentence_vector import SentenceVector
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
_POOLINGS = {"mean": "mean", "first": "cls"}  # ours -> theirs
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
    names = ["Transformer", "Pooling"]
    vector = bert.sentence_vector
    if vector.pooling == "mean" and not vector.special_tokens:
        names.insert(1, "WordWeights")
    paths = ["", *(f"{number}_{name}" for number, name in enumerate(names) if number)]
    for path, name in zip(paths[1:], names[1:], strict=True):
        (folder / path).mkdir()
        if name == "WordWeights":
            _write_weights_of_words(folder / path, bert)
        else:
            write_json(folder / path / _MODULE_CONFIG, _pooling(bert))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{_PACKAGE}.{name}"}
        for i, (path, name) in enumerate(zip(paths, names, strict=True))
    ]
    write_json(folder / _MODULES, modules)
    transformer: dict[str, Any] = {
        "max_seq_length": bert.config.max_positions,
        "do_lower_case": False,
    }
    if "pooler" not in bert.params:  # it would be made anew, with a warning
        transformer["model_args"] = {"add_pooling_layer": False}
    write_json(folder / _TRANSFORMER_CONFIG, transformer)
    write_json(folder / _LIBRARY_CONFIG, {"similarity_fn_name": "cosine"})


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
    notes = bert.notes
    if "Normalize" in modules:
        notes += ("its vectors were scaled to length 1; ask for that when encoding",)
    notes += tuple(_settings_left_behind(folder, modules, bert.config.max_positions))
    vector = SentenceVector(pooling=pooling, special_tokens=special_tokens)
    return dataclasses.replace(bert, sentence_vector=vector, notes=notes)


def _pooling(bert: Bert) -> dict[str, Any]:
    mode = _POOLINGS[bert.sentence_vector.pooling]
    flags = {flag: name == mode for name, flag in _FLAGS.items()}
    flags |= dict.fromkeys(_OTHER_FLAGS, False)
    size = bert.config.hidden_size
    return {"word_embedding_dimension": size, **flags, "include_prompt": True}


def _write_weights_of_words(folder: Path, bert: Bert) -> None:
    pieces = list(bert.tokenizer.pieces(range(bert.tokenizer.vocab_size)))
    without_weight = _around_texts(bert)
    write_json(
        folder / _MODULE_CONFIG,
        {
            "vocab": pieces,
            "word_weights": dict.fromkeys(without_weight, 0),
            "unknown_word_weight": 1,
        },
    )
    weights = np.array([p not in without_weight for p in pieces], np.float32)
    write_weights(
        folder, {"emb_layer.weight": weights[:, None]}, max_shard_bytes=1 << 40
    )


def _modules(folder: Path) -> dict[str, Path]:
    """Returns {class: its folder}, in order."""
    path = folder / _MODULES
    entries = read_json(path)
    found = {}
    try:
        for entry in entries:
            name = entry["type"].rsplit(".", 1)[-1]
            place = entry["path"].rstrip("/")
            found[name] = inside(folder, place, origin=path) if place else folder
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: is not a list of modules; use an intact copy"
        ) from error
    classes = list(found)
    core = [name for name in classes if name not in ("WordWeights", "Normalize")]
    if core != ["Transformer", "Pooling"] or len(classes) != len(entries):
        raise UserError(
            f"{path}: its modules are {', '.join(classes)}; only Transformer, Pooling, "
            "the WordWeights of an export of ours and Normalize can be converted"
        )
    return found


def _around_texts(bert: Bert) -> list[str]:
    """Returns the pieces of [CLS] and [SEP]."""
    special = bert.tokenizer.special
    return bert.tokenizer.pieces([special.cls, special.sep])


def _require_known_weights(path: Path, bert: Bert) -> None:
    content = read_object(path)
    known = {
        "word_weights": dict.fromkeys(_around_texts(bert), 0),
        "unknown_word_weight": 1,
    }
    if any(content.get(field) != value for field, value in known.items()):
        raise UserError(
            f"{path}: weighs words; only weights that leave out "
            f"{' and '.join(_around_texts(bert))} can be converted"
        )


def _settings_left_behind(
    folder: Path, modules: Mapping[str, Path], max_positions: int
) -> Iterator[str]:
    """Yields a sentence for every setting there that changes vectors and is not kept.

    Source: `Transformer` and `SentenceTransformer` of sentence-transformers 5 and 6.
    """
    transformer = read_optional(modules["Transformer"] / _TRANSFORMER_CONFIG)
    length, name = transformer.get("max_seq_length"), "max_seq_length"
    if length is None:  # as version 6 writes it
        name = "model_max_length"
        length = read_optional(modules["Transformer"] / CONFIG_FILE).get(name)
    if isinstance(length, int) and length < max_positions:
        yield (
            f"left behind: {name} {length}; sentences are cut at the model's "
            f"{max_positions} positions here"
        )
    for name in _ARGUMENTS:
        if transformer.get(name):
            yield f"left behind: {name} {transformer[name]!r:.200}"
    library = read_optional(folder / _LIBRARY_CONFIG)
    prompts = library.get("prompts")
    prompts = prompts if isinstance(prompts, Mapping) else {}
    for name, prompt in prompts.items():
        if prompt:
            yield (
                f"left behind: the prompt {prompt!r:.200} ({name}); put it before "
                "sentences yourself"
            )
    default = library.get("default_prompt_name")
    if default is not None:
        yield (
            f"left behind: default_prompt_name {default!r:.80}; no prompt is put "
            "before sentences here"
        )
    pooling = read_optional(modules["Pooling"] / _MODULE_CONFIG)
    if any(prompts.values()) and pooling.get("include_prompt") is False:
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

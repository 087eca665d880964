"""Which pieces of a Hugging Face folder play BERT's five roles, and what joins pairs.

The settings beside a tokenizer.json name them, and its post-processor says what stands
around a text and between two.

Source: the formats of huggingface/tokenizers and huggingface/transformers.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from amber_jax.errors import UserError
from amber_jax.tokenization.json_files import read_optional
from amber_jax.tokenization.tokenizer import CONFIG_FILE, SpecialTokens

MODEL_CONFIG, SPECIAL_MAP = "config.json", "special_tokens_map.json"
_ROLES = ("pad", "unk", "cls", "sep", "mask")
# Names that pieces have where no settings say so.
_USUAL = {"pad": ("<pad>", "[PAD]"), "mask": ("<mask>", "[MASK]")}
# Their models put two separators between sentences, if no post-processor says it.
_TWO_SEPARATORS = ("roberta", "xlm-roberta", "camembert")


class _Template(NamedTuple):
    """What stands around texts."""

    cls: str
    sep: str
    separators: int


def special_tokens(
    folder: Path, fields: Mapping[str, Any], pieces: Sequence[str]
) -> SpecialTokens:
    """Returns the roles in a folder.

    Args:
        folder: with tokenizer_config.json, special_tokens_map.json, config.json, as far
            as they are there.
        fields: the content of its tokenizer.json.
        pieces: all pieces by id.

    Raises:
        UserError: a role has no piece, or texts are framed in another way than
            `[CLS] x [SEP]` and `[CLS] x [SEP] y [SEP]`, with one or two in the middle.
    """
    template = _template(folder, fields.get("post_processor"))
    ids = {piece: number for number, piece in enumerate(pieces)}
    names = {role: _name(role, folder, fields, template, ids) for role in _ROLES}
    missing = [role for role, name in names.items() if name not in ids]
    if missing:
        said = ", ".join(f"{role}_token is {names[role]!r:.80}" for role in missing)
        raise UserError(
            f"{folder / CONFIG_FILE}: {said}; wanted a piece of the vocabulary in "
            "tokenizer.json for each role"
        )
    if template and (template.cls, template.sep) != (names["cls"], names["sep"]):
        raise UserError(
            f"{folder}: its tokenizer.json puts {template.cls} and {template.sep} "
            f"around texts, but its settings name {names['cls']} and {names['sep']}; "
            "use files that belong together"
        )
    separators = template.separators if template else _usual_separators(folder)
    return SpecialTokens(*(ids[names[role]] for role in _ROLES), separators=separators)


def text_of(token: Any) -> str:
    """Returns a token's text, which stands alone or among its other fields."""
    return str(token.get("content") if isinstance(token, Mapping) else token)


def entries_of(value: Any) -> list[Any]:
    """Returns the entries of a list or an object, none of null."""
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else [] if value is None else [value]


def _name(
    role: str,
    folder: Path,
    fields: Mapping[str, Any],
    template: _Template | None,
    ids: Mapping[str, int],
) -> str | None:
    said = {name: read_optional(folder / name) for name in (CONFIG_FILE, SPECIAL_MAP)}
    tokens = {name: said[name].get(f"{role}_token") for name in said}
    texts = {name: text_of(token) for name, token in tokens.items() if token}
    if len({*texts.values()}) > 1:
        raise UserError(
            f"{folder / SPECIAL_MAP}: {role}_token is {texts[SPECIAL_MAP]!r:.80}, but "
            f"{texts[CONFIG_FILE]!r:.80} in {CONFIG_FILE}; use files that belong "
            "together"
        )
    if texts:
        return next(iter(texts.values()))
    if role == "unk":
        return _unknown_piece(fields["model"], ids)
    if role in _USUAL:
        return next((name for name in _USUAL[role] if name in ids), None)
    return getattr(template, role, None)


def _unknown_piece(model: Mapping[str, Any], ids: Mapping[str, int]) -> str | None:
    if "unk_id" in model:
        return next((name for name, i in ids.items() if i == model["unk_id"]), None)
    return model.get("unk_token")


def _usual_separators(folder: Path) -> int:
    kind = read_optional(folder / MODEL_CONFIG).get("model_type")
    return 2 if kind in _TWO_SEPARATORS else 1


def _template(folder: Path, processor: Any) -> _Template | None:
    """Returns what the post-processor puts around texts; None if it puts nothing."""
    framing = [step for step in steps_of(processor) if step.get("type") != "ByteLevel"]
    if not framing:
        return None
    try:
        (step,) = framing
        return _TEMPLATES[step["type"]](step)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(
            f"{folder}: the post_processor of its tokenizer.json does not put one "
            "piece before a text, another behind it, and the latter, once or twice, "
            "between two; such a tokenizer is not read"
        ) from error


def steps_of(processor: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the steps of a post-processor, those of a `Sequence` one by one."""
    if not isinstance(processor, Mapping):
        if processor is not None:
            yield {"type": processor}
    elif processor.get("type") == "Sequence":
        for step in processor.get("processors") or ():
            yield from steps_of(step)
    else:
        yield processor


def _of_template(step: Mapping[str, Any]) -> _Template:
    single, pair = (_entries(step[name]) for name in ("single", "pair"))
    cls, text, sep = single
    count = len(pair) - 4  # besides cls, both texts and the last sep
    expected = [cls, "A", *itertools.repeat(sep, count), "B", sep]
    if text != "A" or cls == sep or pair != expected or count not in (1, 2):
        raise ValueError(pair)
    return _Template(str(cls), str(sep), count)


def _entries(entries: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Returns the names of special tokens and texts in a template."""
    return [field["id"] for entry in entries for field in entry.values()]


_TEMPLATES = {
    "TemplateProcessing": _of_template,
    "BertProcessing": lambda step: _Template(step["cls"][0], step["sep"][0], 1),
    "RobertaProcessing": lambda step: _Template(step["cls"][0], step["sep"][0], 2),
}

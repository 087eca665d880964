"""Settings and flags of another name: old configs are read, old names explained.

`docs/renamed.md` has the same table for readers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

RENAMED = {
    "sentence_alignment.normalise": "sentence_alignment.normalize",
    "word_alignment.renormalise": "word_alignment.renormalize",
    "evaluations.centre": "evaluations.center",
    "evaluations.neighbours": "evaluations.neighbors",
    "retrievals.centre": "retrievals.center",
    "retrievals.neighbours": "retrievals.neighbors",
    "symmetrisation": "symmetrization",
    "dropout_generator": "dropout_generator is gone: dropout is a hash of its place",
    "--neighbours": "--neighbors",
    "--symmetrisation": "--symmetrization",
}
"""{old dotted key or flag: the new one in the same group, or a sentence if it is gone}.
A key within a sequence of groups has no index."""


def migrated(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config of a run.json or config.json under today's names."""
    return _migrated(config, "")


def _migrated(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        inner = {f"{path}.{key}".lstrip("."): item for key, item in value.items()}
        named = {key: RENAMED.get(key, key) for key in inner}
        return {
            _last_part(new): _migrated(inner[key], key)
            for key, new in named.items()
            if " " not in new
        }
    if isinstance(value, list | tuple):
        return [_migrated(item, path) for item in value]
    return value


def explanations(names: Iterable[str]) -> Iterator[str]:
    """Yields a sentence for every renamed setting or flag among `names`.

    Args:
        names: flags, such as `--config.evaluations[0].centre`, or the last part of a
            setting's name, such as `centre`.
    """
    by_last_part = {_last_part(old): _last_part(new) for old, new in RENAMED.items()}
    for name in names:
        key = re.sub(r"\[\d+\]", "", name.removeprefix("--config."))
        new = RENAMED.get(key, by_last_part.get(key))
        if new is not None:
            yield new if " " in new else f"{name} is called {new} now"


def _last_part(name: str) -> str:
    return name if " " in name else name.rpartition(".")[2]

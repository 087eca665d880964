"""What every command does around its main: flags in, one-sentence errors out."""

import ast
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from absl import app, flags, logging

from amber_jax import allocator
from amber_jax.errors import UserError

USAGE_ERROR = 2
_COMPILE_CACHE = "JAX_COMPILATION_CACHE_DIR"  # JAX's own; empty: no cache
# What absl and ml_collections raise; the lookup may be of a key or of `stages[7]`.
_FLAG_MISTAKES = (
    *(flags.Error, AttributeError, LookupError, ValueError, TypeError),
    *(SyntaxError, ImportError, NameError),  # of a config, which is Python
)


@contextlib.contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turns a `UserError` into one line on stderr and exit status 2."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE_ERROR)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """Returns the positional arguments; flag mistakes become a `UserError`."""
    try:
        rest = flags.FLAGS(list(argv))
    except _FLAG_MISTAKES as error:
        raise UserError(f"flags not understood: {_one_line(error)}") from error
    _require_loaded_config()
    if len(rest) > 1:
        raise UserError(
            f"unexpected argument {rest[1]!r}; every setting is a flag, "
            "as in --config.seed=1"
        )
    return rest


def _require_loaded_config() -> None:
    """Raises UserError if --config could not be loaded: its flag tells it only late."""
    if "config" not in flags.FLAGS or flags.FLAGS["config"].value is None:
        return
    try:
        flags.FLAGS["config"].value.keys()
    except OSError as error:
        raise UserError(
            f"--config cannot be loaded: {_one_line(error.__cause__ or error)}; "
            "it takes the path of a file in configs/"
        ) from error


def require_keys(config: Mapping[str, object], wanted: Iterable[str]) -> None:
    """Raises UserError if `config` lacks a setting that this command reads."""
    missing = sorted(set(wanted) - set(config.keys()))
    if missing:
        raise UserError(
            f"--config is of another command: it has no {', '.join(missing[:3])}; "
            "the command's own header names one that fits"
        )


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = str(error.args[0] if error.args else error)
    if text.startswith("'\\'"):  # the text of an inner KeyError, quoted once more
        text = ast.literal_eval(text)
    return " ".join(text.split())


def _keep_compiled_programs() -> None:
    """Lets compiled programs outlive the command, unless the user chose for JAX.

    They go to `amber_jax/xla` in the user's cache folder; if it cannot be written,
    every command compiles anew.
    """
    if _COMPILE_CACHE in os.environ:
        return
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = caches / "amber_jax" / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # as on a full disk, or without a home
        return
    if os.access(folder, os.W_OK):
        os.environ[_COMPILE_CACHE] = str(folder)
        # Small programs too: they cost a few kilobytes, and nothing measurable to keep.
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def run(main: Callable[[Sequence[str]], None], *, on_devices: bool = False) -> None:
    """Parses the flags, runs `main(argv)` and exits with its status.

    Exit status: 0 done, 2 for a mistake the user can fix (one sentence on stderr).

    Args:
        main: the command.
        on_devices: whether it runs a model: its programs are kept, its memory looked
                after, for which the command may start anew.
    """
    if on_devices:
        allocator.start_with_huge_pages()
        _keep_compiled_programs()  # before anything imports JAX, which reads it then
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

    def guarded(argv: Sequence[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # libraries chat at INFO
        with one_sentence_errors():
            main(argv)

    with one_sentence_errors():
        app.run(guarded, argv=sys.argv, flags_parser=_parse_flags)

"""The flag --config: the path of a file, or the name of a config of this package."""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags.config_flags import ConfigFileFlagParser

from amber_jax.errors import UserError, suggestion

flags.disclaim_key_flags()  # the flag is of whoever defines it
_PACKAGE = Path(__file__).parents[1]
# An installed package holds its configs; in a checkout they stand beside it.
_CONFIGS = next(
    folder
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs")
    if folder.is_dir()
)


def define_config(what: str, default: str | None = None) -> flags.FlagHolder:
    """Defines --config, whose value is what `get_config` of a file returns.

    Args:
        what: it configures, for --help.
        default: name of a config of this package; None for none.
    """
    flag = config_flags.DEFINE_config_file(
        "config", None, f"{what}: the path of a file, or a name in configs/"
    )
    flags.FLAGS["config"].parser = _Parser("config")
    if default is not None:  # the package's, whatever lies in the current folder
        flags.set_default(flag, str(_CONFIGS / default))
    return flag


def locate(value: str) -> str:
    """Returns FILE[:VARIANT] with the path of the file; a file that exists is as given.

    Raises:
        UserError: there is neither such a file nor such a config of this package.
    """
    file, colon, variant = value.partition(":")
    if Path(file).is_file():
        return value
    names = sorted(path.name for path in _CONFIGS.glob("*.py"))
    if file not in names:
        raise UserError(
            f"--config is {file!r}, but there is no such file, and no such config "
            f"comes with amber_jax; {suggestion(Path(file).name, names)}"
        )
    return f"{_CONFIGS / file}{colon}{variant}"


class _Parser(ConfigFileFlagParser):
    def parse(self, path: str) -> ConfigDict:
        """Returns the config; the flag's own parser tells a failure only when used."""
        config = super().parse(locate(path))
        try:
            config.keys()
        except OSError as error:
            cause = error.__cause__ or error
            reason = cause.strerror or cause
            raise UserError(
                f"--config={path} cannot be loaded: {cause.filename}: {reason}"
            ) from error
        return config

"""The command `amber`, also as `python -m amber_jax`: a verb, then its flags.

Imports nothing that takes time before it knows what to do.
"""

import sys
from typing import NoReturn

from amber_jax import stopping

# In the order of use; True for those that run a model, see `command_line.run`.
VERBS = {
    "train_tokenizer": False,
    "build_corpus": False,
    "inspect": False,
    "pretrain": True,
    "finetune": True,
    "evaluate": True,
    "score": False,
    "report": False,
    "embed": True,
    "align": True,
    "mine": True,
    "convert": False,
    "doctor": True,
}
_HELP = ("--help", "-h", "help")


def main() -> NoReturn:
    """Runs the verb that the first argument names, and exits with its status."""
    stopping.stop_at_once()  # the imports below take time
    verb = sys.argv.pop(1) if len(sys.argv) > 1 else _HELP[0]
    if verb in VERBS:
        run_verb(verb)
    from amber_jax.commands.command_line import run

    del sys.argv[1:]
    run(lambda _: _list_verbs(verb))


def run_verb(verb: str) -> NoReturn:
    """Runs a verb with the flags in `sys.argv`, and exits with its status."""
    stopping.stop_at_once()
    from importlib import import_module

    from amber_jax.commands.command_line import run

    module = import_module(f"amber_jax.verbs.{verb}")
    arguments = getattr(module, "ARGUMENTS", 0)
    run(module.main, on_devices=VERBS[verb], arguments=arguments)


def _list_verbs(asked: str) -> None:
    """Prints the verbs, each with the first line of its module's docstring.

    Raises:
        UserError: a word that is no verb led here.
    """
    import ast
    from pathlib import Path

    from amber_jax.errors import UserError, suggestion

    if asked not in _HELP:
        raise UserError(f"amber has no verb {asked!r}; {suggestion(asked, VERBS)}")
    print("usage: amber VERB [--FLAG=VALUE ...]\n")
    for verb in VERBS:
        # Not imported: two verbs may define the same flag.
        path = Path(__file__).parent / "verbs" / f"{verb}.py"
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        print(f"  {verb:17}{docstring.splitlines()[0]}")
    print("\n`amber VERB --help` lists the flags of a verb.")


if __name__ == "__main__":
    main()

"""The one exception that means "the user can fix this"."""


class UserError(Exception):
    """A mistake in a config, file or flag, told in one sentence.

    The sentence names the thing, what was found, what was wanted and what to do.
    Commands print it and exit with status 2; they never show a traceback for it.
    """

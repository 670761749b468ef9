"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Something that the user gave cannot be used.

    The message is one clear sentence that says what is wrong and what to do.
    Programs print it without a traceback and exit with `EXIT_CODE`.
    """

    EXIT_CODE = 2

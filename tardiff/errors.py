"""The one exception that a user is meant to read."""


class TardiffError(Exception):
    """Something the user handed in is wrong.

    The message is one line that names the file, row or field, says what is wrong with it and what to do.
    The command line prints it and exits with status 2.
    """


class InputError(TardiffError, ValueError):
    """The same of arrays handed to an estimator, which scikit-learn's users expect to be a ValueError."""

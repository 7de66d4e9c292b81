"""Declaration: the errors that end a command, each with the exit code it ends with.

The text of an error is one sentence that names the cause and the remedy. The codes are those of
sysexits: 78 configuration, 75 come back later.
"""

EXIT_CONFIGURATION = 78


class ExchangeError(Exception):
    """The operation failed."""

    exit_code = 1


class NotRunningError(ExchangeError):
    """There is no running exchange of this name."""


class AnotherWriterError(ExchangeError):
    """Another exchange holds this name."""

    exit_code = 75

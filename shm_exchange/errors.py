"""Declaration: the errors that end a command, each with the exit code it ends with.

The text of an error is one sentence that names the cause and the remedy. The codes are those of
sysexits: 69 the host does not give what is needed, 75 come back later, 77 permission, 78
configuration; and 2 wrong usage.
"""

EXIT_USAGE = 2
EXIT_UNFIT_HOST = 69
EXIT_ANOTHER_WRITER = 75
EXIT_NO_PERMISSION = 77
EXIT_CONFIGURATION = 78


class ExchangeError(Exception):
    """The operation failed."""

    exit_code = 1


class ArgumentError(ExchangeError):
    """An argument that no exchange could take, whatever its state."""

    exit_code = EXIT_USAGE


class NotRunningError(ExchangeError):
    """There is no running exchange of this name."""


class OutgrownError(ExchangeError):
    """What is kept needs more than is configured now."""

    exit_code = EXIT_CONFIGURATION


class UnfitHostError(ExchangeError):
    """The host does not give what the exchange needs; trying again would not help."""

    exit_code = EXIT_UNFIT_HOST


class AnotherWriterError(ExchangeError):
    """Another exchange holds this name."""

    exit_code = EXIT_ANOTHER_WRITER


class ForeignExchangeError(ExchangeError):
    """The exchange is another user's."""

    exit_code = EXIT_NO_PERMISSION

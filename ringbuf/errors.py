"""Declaration: the errors of this package, each named after the guilty party."""


class LayoutError(Exception):
    """A segment or file was written with another layout. Refuse to start; touch nothing."""


class CacheError(Exception):
    """There is no place for machine code: the message names the folder."""

    exit_code = 73  # EX_CANTCREAT of sysexits


class SegmentError(Exception):
    """A shared-memory segment cannot be created, is missing, too small or already in use."""


class UsageError(Exception):
    """Our own code called something wrongly: fix the code."""

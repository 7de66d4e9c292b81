"""Declaration: the errors of this package, each named after the guilty party."""


class LayoutError(Exception):
    """A segment or file was written with another layout. Refuse to start; touch nothing."""


class SegmentError(Exception):
    """A shared-memory segment cannot be created, is missing, too small or already in use."""


class UsageError(Exception):
    """Our own code called something wrongly: fix the code."""

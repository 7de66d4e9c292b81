"""What the litmus tests share."""

from collections.abc import Iterator

import pytest

from tests.shared_memory import Children, children, names


@pytest.fixture
def segment_name() -> Iterator[str]:
    """A prefix for segment names; removed afterwards."""
    with names() as prefix:
        yield prefix


@pytest.fixture
def processes() -> Iterator[Children]:
    """Processes that end with the test."""
    with children() as started:
        yield started

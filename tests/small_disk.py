"""A file system that is soon full: a small tmpfs, mounted by whoever may mount."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[None]:
    """At `path` there is room for `size` bytes. Call it where `may_mount` was True."""
    path.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)]
    subprocess.run(["mount", *options], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def may_mount(request: pytest.FixtureRequest) -> bool:
    """True for root. For others: the same test has passed in a namespace in which they are root."""
    if os.geteuid() == 0:
        return True
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid]
    root = request.config.rootpath
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *command], cwd=root, check=True
    )
    return False


def fill(path: Path, left: int = 0) -> Path:
    """A file that takes all room of the file system of `path` save `left` bytes."""
    ballast = path / "ballast"
    found = os.statvfs(path)
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - left)
    return ballast

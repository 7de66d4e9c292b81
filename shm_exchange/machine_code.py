"""Shell: whether the machine code of these very sources is on disk already.

When it is not, the first start compiles it. Two processes that need the same kernels at the same
time compile them twice, so the supervisor starts one of each kind at once, which share little and
keep several cores busy, and whoever runs the same code when that one is ready.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ringbuf.jit import cache_root

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("ringbuf", "shm_exchange", "gateways")


def _marker() -> Path:
    """A file that exists once an exchange of these sources was ready."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            found = path.stat()
            digest.update(f"{path}:{found.st_size}:{found.st_mtime_ns}\n".encode())
    return cache_root() / f"complete-{digest.hexdigest()[:20]}"


def is_complete() -> bool:
    """Whether no role has to compile."""
    return _marker().exists()


def set_complete() -> None:
    """Say so, after all roles were ready."""
    marker = _marker()
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()

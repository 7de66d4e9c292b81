"""Shell: how kernels are compiled, and where the machine code is kept.

`kernel` and `cold_kernel` are the only ways to compile. Their options, and why:

- no reference counting (`_nrt=False`): a kernel allocates nothing, and the atomic increments that
  numba would put around every array in a tuple would cost more than the kernel;
- a kernel's code becomes part of each caller's. That of a `cold_kernel`, for what is large or
  rare, stands by itself in the machine code and is called;
- what a kernel calls is linked and made machine code only together with it, see
  ringbuf/inner_code.py;
- `nogil`: a pump runs for ever beside the Python thread of its process;
- no bounds checks, C division: a kernel proves its subscripts by masks and by assertions.

numba's own cache does not notice that a constant or a function in another file changed and runs
the old code. The cache therefore lies in a folder named by the digest of the defining module and
of every module of this project that it imports, directly or not.

Where that folder cannot be written numba would use one beside the sources, or end with a traceback;
here it is said in one sentence, by whoever has something to compile. The others do without.

With NUMBA_DISABLE_JIT=1 the same functions run as Python, for debugging and coverage.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.registry import CPUDispatcher

from ringbuf import by_address  # noqa: F401  # tells numba what a State is
from ringbuf.errors import CacheError
from ringbuf.inner_code import InnerCode, OuterCompiler

COMPILED = not numba.config.DISABLE_JIT

_PACKAGES = ("ringbuf", "shm_exchange", "gateways", "perf", "tests")
_PACKAGE = "|".join(_PACKAGES)
_IMPORT = re.compile(
    rf"^\s*(?:from\s+((?:{_PACKAGE})[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)"
    rf"|import\s+((?:{_PACKAGE})[\w.]*))",
    re.MULTILINE,
)
INNER, OUTER = "inner", "outer"  # folders of the two forms of a kernel's code
_OPTIONS = {
    "_nrt": False,
    "boundscheck": False,
    "error_model": "numpy",
    "nogil": True,
}

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_root() -> Path:
    """Where machine code is kept: $SHMX_CACHE_DIR, or the user's cache folder."""
    named = os.environ.get("SHMX_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "shm-exchange"


@cache
def _is_writable(folder: Path) -> bool:
    """Whether machine code can be kept there; makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def check_cache(folder: Path | None = None) -> None:
    """Raise CacheError when a folder of machine code cannot be written. None: that of all."""
    folder = folder or cache_root()
    if not _is_writable(folder):
        root = cache_root()
        raise CacheError(
            f"{folder}: machine code cannot be kept there; as the exchange's user, set"
            f" SHMX_CACHE_DIR to a folder that it may write, or `chown -R` {root} to it"
        )


@cache
def _source_of(module: str) -> str | None:
    """Path of a module's source, or None when there is no such module."""
    loaded = sys.modules.get(module)
    path = getattr(loaded, "__file__", None)
    if path and path.endswith(".py"):
        return path
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec and spec.origin and spec.origin.endswith(".py") else None


@cache
def _imports_of(path: str) -> tuple[str, tuple[str, ...]]:
    """Digest of one source file, and the project's modules that it imports."""
    text = Path(path).read_text(encoding="utf-8")
    modules = []
    for source, names, plain in _IMPORT.findall(text):
        modules.append(source or plain)
        for name in re.findall(r"\w+", names):
            modules.append(f"{source}.{name}")
    return hashlib.sha256(text.encode()).hexdigest(), tuple(modules)


def source_digest(path: str) -> str:
    """Digest of a source file and, transitively, of every module of this project it imports."""
    seen: dict[str, str] = {}
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen[current], modules = _imports_of(current)
        waiting.extend(found for module in modules if (found := _source_of(module)))
    text = "".join(sorted(seen.values())) + numba.__version__
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Kernel(CPUDispatcher):  # type: ignore[misc]
    """What Python calls: machine code by types of arguments. Kernels that call it see `inner`."""

    def __init__(self, function: Any, is_cold: bool) -> None:
        super().__init__(function, {}, {**_OPTIONS, "nopython": True}, OuterCompiler)
        self.inner = InnerCode(function, _OPTIONS, is_cold)
        folder = cache_root() / source_digest(function.__code__.co_filename)
        self._folders = folder / OUTER, folder / INNER
        if not all(map(_is_writable, self._folders)):
            return
        before = numba.config.CACHE_DIR
        try:
            numba.config.CACHE_DIR = str(self._folders[0])
            self.enable_caching()
            numba.config.CACHE_DIR = str(self._folders[1])
            self.inner.enable_caching()
        finally:
            numba.config.CACHE_DIR = before

    def compile(self, signature: Any) -> Any:
        """The machine code for these types, from the cache if it is there. Raises CacheError."""
        for folder in self._folders:
            check_cache(folder)
        return super().compile(signature)

    def get_call_template(self, arguments: Any, keywords: Any) -> Any:
        """Of the inner code, for a caller. A constant argument is an int64 like any other.

        numba would compile the kernel again for every constant that it is called with (one small
        leaf had 90 copies). Inlining gives the constant back to LLVM, so nothing is lost.
        """
        plain = tuple(numba.types.unliteral(each) for each in arguments)
        named = {name: numba.types.unliteral(each) for name, each in keywords.items()}
        return self.inner.get_call_template(plain, named)

    def get_overload(self, signature: Any) -> Any:
        """What stands for the inner code's address in a caller."""
        return self.inner.get_overload(signature)


def kernel(function: Function) -> Function:
    """Compile a function of arrays and integers; its code is inlined into its callers."""
    return Kernel(function, False) if COMPILED else function  # type: ignore[return-value]


def cold_kernel(function: Function) -> Function:
    """Compile a function that is large or seldom called: its callers call it."""
    return Kernel(function, True) if COMPILED else function  # type: ignore[return-value]


def signatures(function: Callable[..., Any]) -> list[Any]:
    """The compiled signatures of a kernel; more than one means somebody passed other types."""
    if not isinstance(function, Kernel):
        return []
    return list(dict.fromkeys([*function.signatures, *function.inner.signatures]))

"""Shell: how many instructions a process executes between two points, counted by callgrind.

A count does not depend on neighbours, clocks or caches, and hardly on the machine: kernels are
compiled for one named processor, which every machine of its kind can run and valgrind can follow.
It says nothing about memory: two programs with equal counts may differ by their cache misses.

The process calls `counting_start` and `counting_stop` of perf/c/counting.c; what lies outside, such
as the start of an interpreter, is not counted.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SOURCE = Path(__file__).resolve().parent / "c" / "counting.c"
_HEADER = Path("/usr/include/valgrind/callgrind.h")
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
_PROCESSORS = {"x86_64": "x86-64-v3"}  # valgrind knows no AVX-512


class CountingError(Exception):
    """The instructions could not be counted."""


def missing() -> str | None:
    """What this host lacks, as a sentence; None when it lacks nothing."""
    if shutil.which("valgrind") is None or not _HEADER.exists():
        return "instructions are counted by valgrind: install Debian's package valgrind"
    if shutil.which("cc") is None:
        return "the switch of the counter is C: install a C compiler (cc)"
    return None


def build_switch(folder: Path) -> Path:
    """The shared library with `counting_start` and `counting_stop`."""
    library = folder / "libcounting.so"
    command = ["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
    subprocess.run(command, check=True)
    return library


def environment() -> dict[str, str]:
    """Of a counted process: the same machine code, and the same hashes, on every run."""
    processor = _PROCESSORS.get(platform.machine(), "generic")
    return {
        **os.environ,
        "NUMBA_CPU_NAME": processor,
        "NUMBA_CPU_FEATURES": "",
        "PYTHONHASHSEED": "0",
    }


def count(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> int:
    """Instructions between the two calls. Raises CountingError with what the process said."""
    output = folder / "callgrind.out"
    watched = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
    watched += [f"--callgrind-out-file={output}", *command]
    done = subprocess.run(watched, capture_output=True, text=True, env=variables)
    if done.returncode != 0:
        raise CountingError(f"{' '.join(watched)} ended with {done.returncode}: {done.stderr}")
    return total(output.read_text(encoding="utf-8"))


def total(text: str) -> int:
    """The sum of a file that callgrind wrote. Raises CountingError when nothing was counted."""
    found = _TOTALS.search(text)
    if found is None or int(found[1]) == 0:
        raise CountingError("callgrind counted nothing: counting_start was never called")
    return int(found[1])

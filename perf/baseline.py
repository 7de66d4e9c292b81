"""Shell: builds and runs the bare C programs that our figures stand beside."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

_SOURCES = Path(__file__).resolve().parent / "c"


def build(name: str, folder: Path) -> Path:
    """Compile perf/c/NAME.c for this machine; the program's path."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("a C compiler (cc) is needed to build the baselines")
    program = folder / name
    command = [compiler, "-O3", "-march=native", "-std=gnu11", "-Wall", "-pthread"]
    subprocess.run([*command, "-o", program, _SOURCES / f"{name}.c"], check=True)
    return program


def run(program: Path, *arguments: object) -> dict[str, float]:
    """Run a baseline; the numbers that it prints as JSON."""
    result = subprocess.run(
        [program, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    numbers: dict[str, float] = json.loads(result.stdout)
    return numbers

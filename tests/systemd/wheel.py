"""Wheels of this tree, as `pip wheel` builds them; also one that says it is the next version."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("ringbuf", "shm_exchange", "gateways", "deploy")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILD_SECONDS = 120
_VERSION = re.compile(r'^version = "(.*)"$', re.MULTILINE)


def this_version() -> str:
    """What the tree says that it is."""
    found = _VERSION.search((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def build(folder: Path, version: str) -> Path:
    """Build one from a copy of the tree, which stays as it is."""
    copy = folder / version
    rubbish = shutil.ignore_patterns("__pycache__", "*.so", "_native.c.o")
    for name in PARTS:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=rubbish)
    for name in FILES:
        shutil.copy2(ROOT / name, copy / name)
    project = copy / "pyproject.toml"
    text = _VERSION.sub(f'version = "{version}"', project.read_text(encoding="utf-8"))
    project.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", f"--wheel-dir={folder / 'wheels'}", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "wheels").glob(f"*-{version}-*")
    return wheel

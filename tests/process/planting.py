"""One module with planted faults, for whole exchanges whose other modules are as they are.

What does not import it keeps its machine code. Only the rest is compiled again, and only the first
time, because the planted text lies beside the machine code, under its own digest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from ringbuf.jit import cache_root

_HOOK = """\
import importlib.util
import sys


class Planted:
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            return importlib.util.spec_from_file_location(name, {file!r})


sys.meta_path.insert(0, Planted)
"""


def source_of(module: str) -> str:
    """The text of a module as it is."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def plant(module: str, text: str) -> dict[str, str]:
    """The environment in which every process has `text` in place of `module`."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:20]
    folder = cache_root() / f"planted-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{module.rpartition('.')[2]}.py"
    _keep(file, text)
    # Python imports the module of this name, wherever it finds it, before anything else.
    _keep(folder / "sitecustomize.py", _HOOK.format(module=module, file=str(file)))
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def _keep(file: Path, text: str) -> None:
    """Write the file unless it is there already: its machine code knows it by its time."""
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    made = file.with_suffix(f".{os.getpid()}")
    made.write_text(text, encoding="utf-8")
    made.rename(file)

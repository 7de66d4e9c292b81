"""The project's own source files, parsed once, for the tests of this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ringbuf", "shm_exchange", "gateways")
KINDS = ("Declaration", "Kernel", "Pump", "Shell")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file. `module` is its dotted name, packages without `.__init__`."""

    path: str
    module: str
    text: str
    tree: ast.Module

    @property
    def kind(self) -> str:
        """First word of the docstring, which says what kind of module this is."""
        return (ast.get_docstring(self.tree) or "").partition(":")[0].split(" ")[0]

    def functions(self) -> Iterator[Function]:
        """Every function, methods and inner ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def names(self) -> Iterator[tuple[int, str]]:
        """(line, name) of everything that this file gives a name to."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function | ast.ClassDef):
                yield node.lineno, node.name
            elif isinstance(node, ast.arg):
                yield node.lineno, node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.lineno, node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.lineno, node.attr

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, module) of every import, wherever it stands; `from a import b` counts as a.b
        when that is a module of this project, otherwise as a."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield node.lineno, inner if _is_module(inner) else str(node.module)


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The Python files of the folders (without: of the packages), by path."""
    found = []
    for folder in folders or PACKAGES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT)
            text = path.read_text(encoding="utf-8")
            parts = [part for part in name.with_suffix("").parts if part != "__init__"]
            found.append(Source(str(name), ".".join(parts), text, ast.parse(text)))
    return tuple(found)

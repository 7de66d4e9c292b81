"""Goal: what an operator's host is given comes along with the package, as it is in `deploy/`.

Method: the package's own resources against the folder, and what the build is told to take.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from shm_exchange import deployment

ROOT = Path(__file__).parents[2]


def test_the_package_has_every_file_of_deploy() -> None:
    """To the byte, at the place where `pip install` puts it."""
    files = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        name = path.relative_to(ROOT / "deploy")
        found = resources.files("shm_exchange").joinpath("deploy", *name.parts)
        assert found.read_bytes() == path.read_bytes()
        assert deployment.read(str(name)) == path.read_text(encoding="utf-8")


def test_the_build_takes_them_all() -> None:
    """A pattern of pyproject.toml matches each of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["shm_exchange"]
    taken = {
        path
        for pattern in patterns
        for path in (ROOT / "shm_exchange").glob(pattern)
        if path.is_file()
    }
    files = {path.name for path in (ROOT / "deploy").rglob("*") if path.is_file()}
    assert {path.name for path in taken} == files

"""Goal: what a host is given comes along with the package: `deploy/` as it is, and its types.

Method: the packages' own resources against the folder, and what the build is told to take.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

import pytest

from shm_exchange import deployment

ROOT = Path(__file__).parents[2]
TYPED = "py.typed"


def test_the_package_has_every_file_of_deploy() -> None:
    """To the byte, at the place where `pip install` puts it."""
    files = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        name = path.relative_to(ROOT / "deploy")
        found = resources.files("shm_exchange").joinpath("deploy", *name.parts)
        assert found.read_bytes() == path.read_bytes()
        assert deployment.read(str(name)) == path.read_text(encoding="utf-8")


def _taken(package: str) -> set[str]:
    """Names of the files beside a package's modules that patterns of pyproject.toml match."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"][package]
    found = (path for pattern in patterns for path in (ROOT / package).glob(pattern))
    return {path.name for path in found if path.is_file()}


def test_the_build_takes_them_all() -> None:
    files = {path.name for path in (ROOT / "deploy").rglob("*") if path.is_file()}
    assert _taken("shm_exchange") == files | {TYPED}


@pytest.mark.parametrize("package", ["ringbuf", "shm_exchange", "gateways"])
def test_a_users_program_is_checked_against_our_types(package: str) -> None:
    """PEP 561: a type checker reads the annotations of an installed package that has the file."""
    assert resources.files(package).joinpath(TYPED).is_file()
    assert TYPED in _taken(package)

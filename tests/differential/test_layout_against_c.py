"""Goal: the C compiler agrees with every offset and size that we declare.

Method: compile the rendered header with a program that prints sizeof and offsetof of each struct,
and compare with numpy's dtypes. Layouts whose fields share bytes have no struct; their macros are
compared instead.
"""

import importlib
import shutil
import subprocess
from pathlib import Path

import pytest

from ringbuf.__main__ import HEADER, PAGE, modules_of_page, render
from ringbuf.schema import Record

MODULES = modules_of_page(PAGE.read_text(encoding="utf-8"))
RECORDS = [record for module in MODULES for record in importlib.import_module(module).RECORDS]


def _has_struct(record: Record) -> bool:
    return not record.wire and all(each.offset is None for each in record.fields)


def _program(header: Path) -> str:
    lines = [f'#include "{header}"', "#include <stddef.h>", "#include <stdio.h>", "int main(void){"]
    for record in RECORDS:
        macro, struct = record.name.upper(), f"struct {record.name}"
        lines.append(f'printf("{record.name}. %d\\n", {macro}_SIZE);')
        for each in record.fields:
            field = f"{record.name}.{each.name}"
            lines.append(f'printf("{field} %d\\n", {macro}_{each.name.upper()});')
            if _has_struct(record):
                lines.append(
                    f'printf("{field} %zu\\n", offsetof({struct}, {each.name}));'
                    f'printf("{field}# %zu\\n", sizeof((({struct} *)0)->{each.name}));'
                )
        if _has_struct(record):
            lines.append(f'printf("{record.name}. %zu\\n", sizeof({struct}));')
    return "\n".join([*lines, "return 0;}", ""])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    folder = tmp_path_factory.mktemp("layout")
    (folder / "layout.h").write_text(render(MODULES)[1], encoding="utf-8")
    (folder / "program.c").write_text(_program(folder / "layout.h"), encoding="utf-8")
    compiler = shutil.which("cc")
    assert compiler, "a C compiler is required"
    subprocess.run(
        [compiler, "-std=c11", "-Wall", "-Werror", "-o", folder / "program", folder / "program.c"],
        check=True,
    )
    output = subprocess.run([folder / "program"], check=True, capture_output=True, text=True)
    return [(line.split()[0], int(line.split()[1])) for line in output.stdout.splitlines()]


def test_the_compiler_agrees(answers: list[tuple[str, int]]) -> None:
    expected = {}
    for record in RECORDS:
        expected[f"{record.name}."] = record.dtype.itemsize
        fields = record.dtype.fields
        assert fields is not None
        for each in record.fields:
            kind, offset = fields[each.name][:2]
            expected[f"{record.name}.{each.name}"] = offset
            expected[f"{record.name}.{each.name}#"] = kind.itemsize
    for name, number in answers:
        assert number == expected[name], name
    answered = {name for name, _ in answers}
    assert {name for name in expected if not name.endswith("#")} <= answered
    assert sum(_has_struct(record) for record in RECORDS) > len(RECORDS) / 2


def test_the_rendered_header_is_current() -> None:
    assert HEADER.read_text(encoding="utf-8") == render(MODULES)[1], (
        "run: python -m ringbuf layout --write"
    )

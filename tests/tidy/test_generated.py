"""Goal: what is rendered from the declarations is current, complete, and what C sees.

Method: render again and compare the text.
"""

from __future__ import annotations

import re

from ringbuf.__main__ import HEADER, PAGE, modules_of_page, render
from tests.tidy.source import ROOT, sources

REMEDY = "run `make layout`"


def declaring_modules() -> set[str]:
    """Modules that declare records for memory and files; the wire has its specifications."""
    found = set()
    for each in sources():
        if re.search(r"^RECORDS\b", each.text, re.MULTILINE) and "wire=True" not in each.text:
            found.add(each.module)
    return found


def test_the_rendered_files_are_current() -> None:
    """Page and C header are exactly what the declarations give."""
    page, header = render(modules_of_page(PAGE.read_text(encoding="utf-8")))
    assert PAGE.read_text(encoding="utf-8") == page, REMEDY
    assert HEADER.read_text(encoding="utf-8") == header, REMEDY


def test_every_declaration_is_rendered() -> None:
    """No record in memory or in a file is missing from the page, nor from `make layout`."""
    assert set(modules_of_page(PAGE.read_text(encoding="utf-8"))) == declaring_modules(), REMEDY
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = re.search(r"^LAYOUTS := (.*)$", makefile, re.MULTILINE)
    assert listed is not None
    assert set(listed[1].split()) == declaring_modules()

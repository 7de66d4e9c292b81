"""Goal: tags are packed as they were meant, or the error names the tag.

Method: values that do not fit, channels in every form that the type allows, and a strict type
checker that reads what a user writes.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mypy import api

from gateways.ouch.tag_text import channel_of, pack_tags
from gateways.ouch.tags import Tag

USER = """
from gateways.client import OuchClient, Side, Tag


async def order(client: OuchClient) -> None:
    tags = {Tag.GROUP_ID: 1}
    await client.enter(Side.BUY, 1, "AAPL", 1, tags=tags)
    await client.mass_cancel(tags=tags)
    numbers = {24: 1}
    await client.replace(1, 1, 1, tags=numbers)
    await client.cancel(1, tags={Tag.USER_REF_INDEX: b"a", 200: b"x"})
"""


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0, b"x"),
        (-1, b"x"),
        (256, b"x"),
        (200, b"x" * 255),
        (200, 5),
        (24, "abc"),
        (24, 1.5),
        (24, None),
        (24, -1),
        (24, 1 << 16),
        (24, b"x"),
        (2, "\xc4"),
        (2, "ABCDE"),
        (9, Decimal("NaN")),
        (9, Decimal("1e1000000")),
        (7, Decimal("0.00001")),
    ],
)
def test_an_error_names_the_tag(tag: int, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^tag {tag} "):
        pack_tags({tag: value})


def test_what_just_fits() -> None:
    longest = b"x" * 254
    assert pack_tags({255: longest}) == b"\xff\xff" + longest
    assert pack_tags({Tag.GROUP_ID: "7", Tag.EXPIRE_TIME: 1}) == b"\3\x18\0\7\5\x0f\0\0\0\1"
    assert pack_tags(None) == b""


def test_a_channel_is_a_number_however_it_is_given() -> None:
    assert [channel_of({28: each}) for each in (5, b"\5", "5")] == [5, 5, 5]
    assert channel_of(None) == channel_of({Tag.GROUP_ID: 1}) == 0
    with pytest.raises(ValueError, match="^tag 28 "):
        channel_of({Tag.USER_REF_INDEX: b"12"})


def test_a_type_checker_takes_tags_by_name_and_by_number(tmp_path: Path) -> None:
    program = tmp_path / "user.py"
    program.write_text(USER, encoding="utf-8")
    said, errors, code = api.run(["--strict", str(program)])
    assert (code, errors) == (0, ""), said

"""Goal: any segment can be printed without being changed; rendering says where it came from."""

import os
import subprocess
import sys

import numpy as np
import pytest

from ringbuf import segment
from ringbuf.__main__ import main, modules_of_page, render
from ringbuf.broadcast import claim, publish
from ringbuf.errors import UsageError
from ringbuf.layout import RECORDS
from ringbuf.spsc import offer
from tests.shared_memory import DIGEST, IDENTITY, RECORD_DTYPE, ROOT, SHARED_MEMORY


def _printed(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    before = (SHARED_MEMORY / name[1:]).read_bytes()
    assert main(["segment", name]) == 0
    assert (SHARED_MEMORY / name[1:]).read_bytes() == before
    return capsys.readouterr().out


def test_segments_are_printed(segment_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, ring = segment.create_broadcast(segment_name + "b", RECORD_DTYPE, 64, DIGEST, IDENTITY)
    claim(ring, 0, 3)
    publish(ring, 3)
    text = _printed(segment_name + "b", capsys)
    assert "kind      broadcast" in text and "published 3" in text and "nobody gates" in text
    _, queue = segment.create_spsc(segment_name + "q", RECORD_DTYPE, 64, DIGEST, IDENTITY)
    offer(queue, 0, np.zeros(1, RECORD_DTYPE))
    assert "(1 waiting)" in _printed(segment_name + "q", capsys)
    _, control = segment.create_control(segment_name + "c", DIGEST, IDENTITY)
    control.processes[2]["pid"] = 99
    text = _printed(segment_name + "c", capsys)
    assert "owner 0" in text and "2: pid 99, role 0, none, position 0, awake" in text
    segment.create_segment(segment_name + "p", 64, DIGEST, IDENTITY)
    assert "kind      plain" in _printed(segment_name + "p", capsys)


def test_a_missing_segment_is_one_sentence(
    segment_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", segment_name]) == 1
    assert capsys.readouterr().err == f"no segment {segment_name}: its owner does not run\n"


def test_a_page_knows_its_modules() -> None:
    page, header = render(["ringbuf.layout"])
    assert modules_of_page(page) == ["ringbuf.layout"]
    for record in RECORDS:
        assert f"### {record.name} ({record.size} bytes)" in page
        assert f"#define {record.name.upper()}_SIZE {record.size}" in header
    with pytest.raises(UsageError):
        modules_of_page("something else")
    with pytest.raises(UsageError):
        render(["ringbuf.errors"])


def test_the_command_runs_as_a_module() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "ringbuf", "layout", "ringbuf.layout"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == render(["ringbuf.layout"])[0]

"""Shell: `python -m ringbuf segment NAME` prints a segment; `layout` renders the declarations.

    python -m ringbuf segment NAME
    python -m ringbuf layout MODULE ... [--write]

`layout` takes modules that have RECORDS (a tuple of `schema.Record`). With --write it replaces
docs/memory-layout.md and ringbuf/layout.h; without modules it takes those of the present page.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

import numpy as np

from ringbuf import broadcast, layout, spsc
from ringbuf.errors import LayoutError, SegmentError, UsageError
from ringbuf.schema import Record
from ringbuf.segment import Control, Segment, attach_segment, control_of
from ringbuf.writer_lock import LOCK_WORD, OWNER_DIED_BIT, OWNER_MASK

_ROOT = Path(__file__).resolve().parent.parent
PAGE = _ROOT / "docs" / "memory-layout.md"
HEADER = _ROOT / "ringbuf" / "layout.h"
_COMMAND = "python -m ringbuf layout"


def render(modules: list[str]) -> tuple[str, str]:
    """The documentation page and the C header of the records of these modules."""
    command = f"{_COMMAND} {' '.join(modules)} --write"
    page = [
        "# Memory layout\n",
        f"Rendered by `{command}`; do not edit.\n",
        "All numbers are little-endian, offsets and sizes are bytes, positions never wrap.\n",
    ]
    header = [
        f"/* Rendered by `{command}`; do not edit. */\n",
        "#ifndef RINGBUF_LAYOUT_H\n#define RINGBUF_LAYOUT_H\n\n#include <stdint.h>\n",
    ]
    for name in modules:
        module = importlib.import_module(name)
        records: tuple[Record, ...] = getattr(module, "RECORDS", ())
        if not records:
            raise UsageError(f"module {name} has no RECORDS")
        page.append(f"## {name}\n")
        header.append(f"/* {name} */\n")
        page += [record.table() for record in records]
        header += [record.c_struct() for record in records]
    return "\n".join(page), "\n".join([*header, "#endif\n"])


def modules_of_page(page: str) -> list[str]:
    """The modules that a rendered page was made from."""
    found = re.search(rf"`{re.escape(_COMMAND)} (.*) --write`", page)
    if not found:
        raise UsageError("name the modules: the present page does not say which it has")
    return found.group(1).split()


def _layout(modules: list[str], *, write: bool) -> None:
    if not modules:
        modules = modules_of_page(PAGE.read_text(encoding="utf-8"))
    page, header = render(modules)
    if write:
        PAGE.write_text(page, encoding="utf-8")
        HEADER.write_text(header, encoding="utf-8")
    else:
        sys.stdout.write(page)


def describe(segment: Segment) -> list[str]:
    """A segment's header, and the cursors that its kind has, as lines of text."""
    header = segment.header[0]
    kind = int(header["kind"])
    lines = [
        f"segment   {segment.name}",
        f"kind      {layout.KIND_NAMES[kind] if kind < len(layout.KIND_NAMES) else kind}",
        f"size      {int(header['segment_size'])} bytes",
        f"records   {int(header['capacity'])} of {int(header['record_size'])} bytes",
        f"digest    {int(header['digest']):#018x}",
        f"identity  {int(header['identity']):#018x}",
        f"created   {np.datetime64(int(header['created_ns']), 'ns')} by {int(header['creator'])}",
    ]
    if kind == layout.KIND_BROADCAST:
        lines += _describe_broadcast(segment.bytes[:256].view(np.int64))
    elif kind == layout.KIND_SPSC:
        lines += _describe_spsc(segment.bytes[:256].view(np.int64))
    elif kind == layout.KIND_CONTROL:
        lines += _describe_control(control_of(segment))
    return lines


def _describe_broadcast(cursors: np.ndarray) -> list[str]:
    recorded = int(cursors[broadcast.RECORDED])
    return [
        f"claimed   {int(cursors[broadcast.CLAIMED])}",
        f"published {int(cursors[broadcast.PUBLISHED])}",
        f"recorded  {'nobody gates' if recorded == broadcast.NO_GATE else recorded}",
        f"durable   {int(cursors[broadcast.DURABLE])}",
    ]


def _describe_spsc(cursors: np.ndarray) -> list[str]:
    published, consumed = int(cursors[spsc.PUBLISHED]), int(cursors[spsc.CONSUMED])
    return [
        f"published {published}",
        f"consumed  {consumed} ({published - consumed} waiting)",
        f"producer  incarnation {int(cursors[spsc.INCARNATION])}",
    ]


def _describe_control(control: Control) -> list[str]:
    word = int(control.lock[LOCK_WORD])
    died = " (died)" if word & OWNER_DIED_BIT else ""
    lines = [
        f"lock      owner {word & OWNER_MASK}{died}",
        f"epoch     {int(control.words[layout.EPOCH])}",
        f"stop      {int(control.words[layout.STOP])}",
    ]
    for number, process in enumerate(control.processes):
        if process["pid"]:
            lines.append(
                f"process   {number}: pid {int(process['pid'])}, role {int(process['role'])}, "
                f"{layout.STATE_NAMES[process['state']]}, position {int(process['position'])}, "
                f"{'asleep' if control.doorbells[number] & 1 else 'awake'}"
            )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 done, 1 failed with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m ringbuf", description="Shared memory, seen.")
    commands = parser.add_subparsers(dest="command", required=True)
    segment = commands.add_parser("segment", help="print the header and cursors of a segment")
    segment.add_argument("name", help="as in /dev/shm, with a leading /")
    rendered = commands.add_parser("layout", help="render the declared layouts")
    rendered.add_argument("modules", nargs="*", help="modules with RECORDS")
    rendered.add_argument("--write", action="store_true", help="replace the page and the header")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "layout":
            _layout(chosen.modules, write=chosen.write)
        else:
            name = "/" + chosen.name.removeprefix("/")
            print("\n".join(describe(attach_segment(name, None, read_only=True))))
    except (ImportError, LayoutError, OSError, SegmentError, UsageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Shell: what a running exchange works with: a copy of the file, made at its start."""

from __future__ import annotations

from pathlib import Path

from shm_exchange import presence


def keep(source: Path | None, state_directory: Path) -> Path | None:
    """What the roles read, so that editing the file does not reach a running exchange."""
    copy = state_directory / presence.CONFIGURATION_COPY
    if source is None:
        copy.unlink(missing_ok=True)
        return None
    text = source.read_bytes()
    if not copy.exists() or copy.read_bytes() != text:  # a full disk is no reason not to start
        presence.write_file(copy, text)
    return copy

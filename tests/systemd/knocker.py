"""Somebody who tries to log in until SIGTERM, and says what came of each try and when that was.

Runs inside the container. Prints one line a try: the letter of the answer, `-` where there was none
and the state of the unit right behind it, as systemd says it: `A active`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time

PASSWORD, SESSION = "demo", "T009"
TIMEOUT_SECONDS = 600.0  # it waits in a queue as long as nobody is let in
PAUSE_SECONDS = 0.02
HEADER_SIZE = 3


def knock(host: str, port: str) -> str:
    """One try."""
    payload = f"L{SESSION:<6}{PASSWORD:<10}{'':>10}{0:>20}".encode("ascii")
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as client:
            client.sendall(len(payload).to_bytes(2, "big") + payload)
            header = client.recv(HEADER_SIZE, socket.MSG_WAITALL)
            return header[-1:].decode("ascii") if len(header) == HEADER_SIZE else "-"
    except OSError:
        return "-"


def main(host: str, port: str, unit: str) -> None:
    """Try again and again."""
    command = ["systemctl", "show", "--value", "--property=ActiveState", unit]
    while True:
        answer = knock(host, port)
        state = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(answer, state, flush=True)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])

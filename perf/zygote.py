"""Shell: starts roles quickly: `python -m perf.zygote` loads all code once and forks for each line.

A line on stdin is the command line of `shm_exchange.roles` as JSON; the answer is the process id.
The exchange itself never forks. Here it saves a second and a half of a core for every process that
a benchmark kills, and the child attaches, recovers and warms up as any other.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from shm_exchange import config, primary, roles, standby  # noqa: F401 - loaded for the children
from shm_exchange.recovery import empty_market
from shm_exchange.roles import RoleContext


def load(file: str, name: str) -> None:
    """Have the machine code of the loop in memory, so that no child reads it again."""
    configuration = config.load(roles.Path(file))
    command = ["standby", "--name", name, "--state", ".", "--configuration", file]
    context: RoleContext = roles.parse([*command, "--engine", "1:2:-"])[0]
    market = empty_market(configuration, 1)
    primary.warm_up(primary.build_engine(context, market, first=False))
    context.wiring.close()


def main(file: str, name: str) -> None:
    """Fork until stdin ends; nobody waits for the children."""
    load(file, name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(roles.main(json.loads(line)))
        print(child, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

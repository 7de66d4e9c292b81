"""Shell: a real matcher loop in a process of its own: `python -m perf.engine_side NAME CPU`.

It attaches to the segments that the measuring process made and serves until the stop word is set.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ringbuf import host
from ringbuf.waiting import SPIN
from shm_exchange import config, lifetime, primary, wiring
from shm_exchange.recovery import empty_market
from shm_exchange.roles import RoleContext


def main(name: str, cpu: int) -> int:
    """Be the matcher of engine 1 of `name`, spinning on `cpu`."""
    configuration = config.built_in()
    context = RoleContext(
        name=name,
        engine=1,
        role="matcher",
        process=wiring.PROCESS_MATCHER,
        source=0,
        configuration=configuration,
        state_directory=Path(),
        policy=SPIN,
        wiring=wiring.attach(name, 1),
        bells=np.full(64, -1, np.int64),
    )
    engine = primary.build_engine(context, empty_market(configuration, 1), first=True)
    primary.warm_up(engine)
    host.pin(cpu)
    return int(lifetime.run(engine))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))

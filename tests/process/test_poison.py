"""Goal: a command that kills its matcher is tried once more, then refused; the exchange lives on.

Method: in place of `matching` a text in which the matcher dies of certain client order ids: by a
wild address, in a loop without end, by a broken assertion. Everything else is as it is, and all of
it runs as whole processes. Deaths from outside are signals that the test sends, SIGSEGV among them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from gateways.client import OuchClient, Side
from gateways.ouch.typed_messages import OrderAccepted, Rejected
from ringbuf import layout
from shm_exchange import wiring
from shm_exchange.messages import Reject
from tests.process.conftest import ENGINES, Exchange
from tests.process.planting import plant, source_of
from tests.process.trading import MARKET, order_client, play, ports, running, settle

MODULE = "shm_exchange.matching"
ALONE = ENGINES.replace("[[engine]]", "[[engine]]\nstandbys = 0\nrecorder = false")
CRASHES, LOOPS, BREAKS = "WILD", "LOOP", "BREAK"

CONDITION = '    if read_word(commands, index, "kind") & _KIND_AND_TAGS == ENTER:\n'
PLACE = CONDITION + "        return enter("
PLANTED = f"""\
{CONDITION}\
        planted = command["client_order_id_0"]
        if planted == {int.from_bytes(CRASHES.ljust(8).encode(), "little")}:
            market.orders[at(1 << 50)]["state"] = 1
        while planted == {int.from_bytes(LOOPS.ljust(8).encode(), "little")}:
            if load_acquire(ring.cursors, 0) < 0:
                planted = 0
        assert planted != {int.from_bytes(BREAKS.ljust(8).encode(), "little")}
        return enter("""


@pytest.fixture(scope="module")
def planted() -> dict[str, str]:
    """The environment of an exchange with the planted faults."""
    text = source_of(MODULE)
    assert text.count(PLACE) == 1
    imported = "from ringbuf.bits import at\n"
    atomics = "from ringbuf.atomics import load_acquire\n"
    return plant(MODULE, text.replace(PLACE, PLANTED).replace(imported, atomics + imported, 1))


@pytest.fixture(scope="module")
def market(planted: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The exchange of this file."""
    folder = tmp_path_factory.mktemp("poison")
    with running(folder, ALONE, planted):
        pass  # this one process has compiled what many are going to load
    with running(folder, MARKET, planted) as it:
        yield it


def word(it: Exchange, number: int) -> int:
    """One of the control words."""
    attached = wiring.attach(it.name, 1, read_only=True)
    try:
        return int(attached.control.words[number])
    finally:
        attached.close()


async def enter(client: OuchClient, client_order_id: str) -> None:
    await client.enter(Side.BUY, 7, "A01", "10.00", client_order_id=client_order_id)


@pytest.mark.parametrize("poison", [CRASHES, LOOPS, BREAKS])
def test_it_is_refused_and_all_goes_on(market: Exchange, poison: str) -> None:
    """Before and behind it are orders; two matchers die, one event says so."""
    username = {CRASHES: "S01", LOOPS: "S02", BREAKS: "S03"}[poison]

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        before = (await loop.run_in_executor(None, market.wait_ready))["engines"][0]["epoch"]
        async with await order_client(ports(market)[0], username, sequence=0) as client:
            for each in ("FIRST", poison, "THIRD"):
                await enter(client, each)
            said = await settle(client)
            assert [type(each) for each in said] == [OrderAccepted, Rejected, OrderAccepted]
            assert [each.user_ref_num for each in said] == [1, 2, 3]
            assert said[1].reason == Reject.POISONED
            assert market.status()["engines"][0]["epoch"] >= before + 2
            assert word(market, layout.STRIKES) & layout.STRIKES_MASK == 2
            # The number is used, the session is as good as any.
            await enter(client, "FOURTH")
            (fourth,) = await settle(client)
            assert isinstance(fourth, OrderAccepted)

    play(scenario())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_signal_from_outside_counts_against_nobody(
    market: Exchange, number: signal.Signals
) -> None:
    """Not even one that a crash would raise."""
    before = market.wait_ready()["engines"][0]
    crashed = word(market, layout.CRASHED)
    suspect = word(market, layout.SUSPECT), word(market, layout.STRIKES)
    os.kill(before["matcher_pid"], number)
    market.wait_until(lambda found: found["engines"][0]["epoch"] >= before["epoch"] + 1)
    assert word(market, layout.CRASHED) == crashed
    assert (word(market, layout.SUSPECT), word(market, layout.STRIKES)) == suspect

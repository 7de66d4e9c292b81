"""Goal: after a loss of power no number is given out twice: streams begin anew, orders live on.

Method: durability "memory". What the disk has is taken as it was in the middle of the trading;
then everything is killed, shared memory is removed as a restart of the host does, and the exchange
starts on the older files. (That is what a loss of power leaves: a journal that ends earlier than
what was said, and no event ring.)
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
from pathlib import Path

from shm_exchange import salvage, snapshot_request, wiring
from shm_exchange.memory import RESTORED
from tests.gateways.ouch_cases import cancel, enter
from tests.process.conftest import SHARED_MEMORY, Exchange
from tests.process.trading import MARKET, RawClient, barrier, login, ports, running

SYMBOL = b"A01     "
BEFORE, AFTER = 30, 10  # orders before and behind what the disk has


def order(user_ref: int, side: bytes, price: int, quantity: int) -> bytes:
    """`O`."""
    return enter(user_ref=user_ref, symbol=SYMBOL, side=side, price=price, quantity=quantity)


def lose_power(it: Exchange, disk: Path) -> None:
    """Everything is gone but `disk`."""
    assert it.process is not None
    pids = [each["pid"] for each in it.status()["processes"]]
    for pid in (*pids, it.process.pid):
        os.kill(pid, signal.SIGKILL)
    it.wait()
    for path in SHARED_MEMORY.glob(f"shmx.{it.name}.*"):
        path.unlink()
    shutil.rmtree(it.state)
    shutil.copytree(disk, it.state)


def recorded(it: Exchange) -> bool:
    """Whether the journal has all events."""
    attached = wiring.attach(it.name, 1, read_only=True)
    try:
        return salvage.unrecorded(attached) == 0
    finally:
        attached.close()


def references_of(heard: list[bytes]) -> dict[int, bytes]:
    """Order reference by UserRefNum, of each order that was accepted."""
    return {struct.unpack_from(">I", each, 9)[0]: each[36:44] for each in heard if each[:1] == b"A"}


def first_adds(it: Exchange, count: int) -> list[bytes]:
    """The first `A` messages of the feed."""
    adds: list[bytes] = []
    with RawClient(ports(it, "market_data")[0]) as client:
        client.log_in("S03")
        while len(adds) < count:
            each = client.messages(1)[0]
            adds += [each] if each[:1] == b"A" else []
    return adds


def test_what_the_journal_knows_is_told_to_new_streams(tmp_path: Path) -> None:
    """The old name is refused; new streams and the feed begin with every live order."""
    with running(tmp_path) as it:
        with RawClient(ports(it)[0]) as maker, RawClient(ports(it)[1]) as taker:
            maker.log_in("S01")
            taker.log_in("S02")
            old = maker.session
            for number in range(1, BEFORE + 1):
                maker.say(order(number, b"B", 100_000 - 100 * (number % 3), 10))
            maker.say(cancel(5))
            heard = barrier(maker)
            taker.say(order(1, b"S", 100_000, 14))  # all of 3 and four lots of 6
            barrier(taker)
            it.wait_until(lambda _: recorded(it))
            disk = tmp_path / "disk"
            shutil.copytree(it.state, disk, ignore=shutil.ignore_patterns("*.sock"))
            for number in range(BEFORE + 1, BEFORE + AFTER + 1):
                maker.say(order(number, b"B", 99_000, 10))
            barrier(maker)
        lose_power(it, disk)
        it.start()
        references = references_of(heard)
        with RawClient(ports(it)[0]) as client:
            client.send(login("S01", session=old))
            assert client.packet() == b"JS"
        live = {number: 10 for number in range(1, BEFORE + 1) if number not in (3, 5)}
        live[6] = 6
        queues = [[n for n in live if n % 3 == level] for level in range(3)]
        with RawClient(ports(it)[0]) as maker, RawClient(ports(it)[1]) as taker:
            maker.log_in("S01")
            taker.log_in("S02", sequence=0)
            new = maker.session
            assert new != old
            begin, *told = maker.messages(1 + len(live))
            assert begin[:1] == b"S" and {each[:1] for each in told} == {b"A"}
            numbers = [struct.unpack_from(">I", each, 9)[0] for each in told]
            assert numbers == [each for queue in queues for each in queue]
            quantities = [struct.unpack_from(">I", each, 14)[0] for each in told]
            assert quantities == [live[each] for each in numbers]
            assert [each[36:44] for each in told] == [references[each] for each in numbers]
            # What the journal did not know is free again; what it knew is traded as ever.
            maker.say(order(BEFORE + 1, b"B", 98_000, 10))
            assert [each[:1] for each in barrier(maker)] == [b"A"]
            taker.say(order(2, b"S", 100_000, 7))
            assert [each[:1] for each in barrier(taker)] == [b"A", b"E", b"E"]
            filled = [struct.unpack_from(">II", each, 9) for each in barrier(maker)]
            assert filled == [(6, 6), (9, 1)]
        adds = first_adds(it, len(live))
        assert [each[11:19] for each in adds] == [references[each] for each in numbers]
        # An orderly end, and the streams go on.
        assert it.stop() == 0
        it.start()
        with RawClient(ports(it)[0]) as maker:
            maker.log_in("S01", session=new)
            assert maker.messages(1 + len(live))[1:] == told


def back_up(state: Path, backup: Path) -> None:
    """As docs/operations.md says: the snapshots, then everything else but what belongs to a run."""
    backup.mkdir()
    own = shutil.ignore_patterns("snapshot-*", "*.sock", "*.lock", "running.json")
    for path in state.glob("snapshot-*"):
        shutil.copy2(path, backup)
    shutil.copytree(state, backup, ignore=own, dirs_exist_ok=True)


def test_a_backup_gives_no_number_out_twice(tmp_path: Path) -> None:
    """A copy of the state of a running exchange, with durability "disk": what came after it was
    said, so an operator says that it is a backup, and the streams begin anew, once."""
    with running(tmp_path, MARKET.replace("[exchange]", '[exchange]\ndurability = "disk"')) as it:
        with RawClient(ports(it)[0]) as maker:
            maker.log_in("S01")
            old = maker.session
            for number in range(1, BEFORE + 1):
                maker.say(order(number, b"B", 100_000, 10))
            barrier(maker)
            backup = tmp_path / "backup"
            snapshot_request.take(it.name, None)
            back_up(it.state, backup)
            maker.say(order(BEFORE + 1, b"B", 99_000, 10))
            barrier(maker)
        (backup / RESTORED).touch()
        lose_power(it, backup)
        it.start()
        with RawClient(ports(it)[0]) as client:
            client.send(login("S01", session=old))
            assert client.packet() == b"JS"
        with RawClient(ports(it)[0]) as maker:
            maker.log_in("S01")
            new = maker.session
            begin, *told = maker.messages(1 + BEFORE)
            assert new != old and {each[:1] for each in told} == {b"A"}
        assert not (it.state / RESTORED).exists()
        assert it.stop() == 0
        it.start()
        with RawClient(ports(it)[0]) as maker:
            maker.log_in("S01", session=new)
            assert maker.messages(1 + BEFORE) == [begin, *told]

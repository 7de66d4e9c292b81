"""Faults, each a small change to one kernel, that the simulation must find."""

from __future__ import annotations

import inspect
from typing import Any

from tests.simulation.install import MODULES, Machine


def _edit(module: Any, name: str, before: str, after: str) -> None:
    """Give a kernel another line, and to every module that has imported it."""
    old = getattr(module, name)
    source = inspect.getsource(old).split("\n", 1)[1]  # without the decorator
    assert source.count(before) == 1, f"{name} has changed: {before!r}"
    exec(source.replace(before, after), module.__dict__)
    for each in MODULES.values():
        if getattr(each, name, None) is old:
            setattr(each, name, getattr(module, name))


def _everywhere(modules: dict[str, Any], name: str, function: Any) -> None:
    for module in modules.values():
        if hasattr(module, name):
            setattr(module, name, function)


def commit_before_the_last_record(modules: dict[str, Any]) -> None:
    """The commit is stored, and then the last record is written."""
    engine = modules["engine"]
    publish_events = engine.publish_events

    def early(engine_of: Any, position: int) -> None:
        ring = engine_of.ring
        index = (position - 1) & (len(ring.records) - 1)
        records = ring.records
        words = records.raw(index)
        records.words[8 * index : 8 * index + 8] = [0] * 8
        publish_events(engine_of, position)
        for number, word in enumerate(words):
            records.world.budget -= 1
            if records.world.budget < 0:
                records.world.switch()
            records.words[8 * index + number] = word

    _everywhere(modules, "publish_events", early)


def consumed_before_published(modules: dict[str, Any]) -> None:
    """The producer may overwrite commands whose events are not committed."""
    publish = "        publish_events(engine, position)\n"
    store = "        store_release(cursors, base + CONSUMED, command_next)\n"
    _edit(modules["engine"], "_poll", publish, store + publish)


def succeed_the_living(modules: dict[str, Any]) -> None:
    """A writer that is stopped is taken for dead."""

    def owner_died(lock: Any) -> int:
        word = lock[0]
        threads = Machine.world.threads
        owner = [thread for thread in threads if thread.identifier == word]
        if owner and owner[0].process.stopped_until > Machine.world.turns:
            lock.words[0] = 0x4000_0000
        return 1 if lock.words[0] & 0x4000_0000 else 0

    _everywhere(modules, "owner_died", owner_died)


def generation_is_not_checked(modules: dict[str, Any]) -> None:
    """Commands of a login that was displaced are carried out."""
    before = 'read_word(market.sessions, session, "generation") & what == expected'
    _edit(modules["admission"], "speaks", before, f"({before[:-12]}) >> 32 == expected >> 32")


def claimed_is_lowered(modules: dict[str, Any]) -> None:
    """A successor begins with nothing claimed."""
    before = "    mask = len(engine.ring.records) - 1\n"
    after = before + "    store_release(engine.ring.cursors, 0, end)\n"
    _edit(modules["reign"], "take_over", before, after)


def consumed_is_not_rewritten(modules: dict[str, Any]) -> None:
    """A successor leaves `consumed` as the dead writer stored it."""
    before = "store_release(engine.command_cursors, source * WORDS_PER_SOURCE + CONSUMED, done)"
    _edit(modules["reign"], "take_over", before, "pass")


def tail_is_not_applied(modules: dict[str, Any]) -> None:
    """A successor that has not seen the last commit goes on from what it knows."""
    _edit(modules["reign"], "take_over", 'scalars["position"] < end', "False")


def overwritten_is_not_asked(modules: dict[str, Any]) -> None:
    """A reader takes what it read for whole, whatever happened meanwhile."""
    _everywhere(modules, "overwritten", lambda ring, position: 0)


def gate_is_not_asked(modules: dict[str, Any]) -> None:
    """The writer overwrites what is not in the journal."""
    before = "    if needed > limit:\n        return 0\n"
    _edit(modules["broadcast"], "claim", before, "    limit = needed\n")


def epoch_ends_the_command(modules: dict[str, Any]) -> None:
    """A replica forgets at a new reign that a command is in the middle."""
    _edit(modules["replica"], "apply", " and kind != EPOCH", "")


def refusal_is_committed_later(modules: dict[str, Any]) -> None:
    """The command after a poisoned one may end the matcher before the refusal is committed."""
    before = "            break  # committed before another"
    _edit(modules["engine"], "_poll", before, "            continue  # committed before another")


def death_is_charged_twice(modules: dict[str, Any]) -> None:
    """Two successors in a row count the same death."""
    _edit(modules["reign"], "_charge", "strikes >> STRIKES_BITS != reign", "True")


def suspect_waits_for_its_turn(modules: dict[str, Any]) -> None:
    """Two poisoned commands of two sources hide each other's deaths."""
    _edit(modules["engine"], "step", "suspect = engine.settings[SETTING_SUSPECT]", "suspect = 0")


def only_sweeps_are_given_up(modules: dict[str, Any]) -> None:
    """A cancel of many orders that ends its matcher in a later part ends every successor."""
    before = 'is_unfinished = scalars["continuing_kind"] != 0'
    _edit(modules["reign"], "_finish", before, 'is_unfinished = scalars["continuing_kind"] == 1')


def handover_leaves_half_a_command(modules: dict[str, Any]) -> None:
    """A writer gives up the lock without having committed what it matched."""
    before = "    if position != begin:\n"
    after = "    if position != begin and load_acquire(engine.words, 1) == 0:\n"
    _edit(modules["engine"], "_poll", before, after)


def orders_of_the_dead_stay(modules: dict[str, Any]) -> None:
    """A gateway that died is not noticed: its sessions stay connected."""
    _everywhere(modules, "disconnect_gateway", lambda market, gateway: None)


def commands_come_before_the_new_streams(modules: dict[str, Any]) -> None:
    """When the day has rolled, what gateways ask is matched before the streams have begun."""
    before = "                return done  # the day has rolled"
    _edit(modules["engine"], "step", before, "                pass  # the day has rolled")


def clients_stay_when_the_day_rolls(modules: dict[str, Any]) -> None:
    """A gateway goes on with the numbers of streams that have ended."""
    modules["pump"]._end_sessions = lambda pump, now_ns: None


FAULTS = {
    each.__name__: each
    for each in (
        commit_before_the_last_record,
        consumed_before_published,
        succeed_the_living,
        generation_is_not_checked,
        claimed_is_lowered,
        consumed_is_not_rewritten,
        tail_is_not_applied,
        overwritten_is_not_asked,
        gate_is_not_asked,
        epoch_ends_the_command,
        refusal_is_committed_later,
        death_is_charged_twice,
        suspect_waits_for_its_turn,
        only_sweeps_are_given_up,
        handover_leaves_half_a_command,
        orders_of_the_dead_stay,
        commands_come_before_the_new_streams,
        clients_stay_when_the_day_rolls,
    )
}


def plant(name: str, modules: dict[str, Any]) -> None:
    """Plant the fault of that name."""
    FAULTS[name](modules)

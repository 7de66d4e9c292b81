"""Journals of earlier builds are read: what they attested is what we attest."""

from __future__ import annotations

from shm_exchange.attestation import attestation
from shm_exchange.replica import apply_all
from tests.shm_exchange.journal_cases import events, fresh_market

EARLIER = -1_427_055_596_258_459_507  # what the builds before decision 0023 say of these events


def test_the_hash_of_a_market_is_what_it_was() -> None:
    market = fresh_market()
    apply_all(market, events()[:1000], 0)
    assert market.scalars[0]["orders"] > 0
    assert attestation(market) == EARLIER

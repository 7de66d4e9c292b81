"""Kernel: the state hash that the matcher publishes now and then, and a replica's answer to it.

O(1) per event: live orders with their place in the queue, sessions and user references are folded
into `scalars.hash` as they change; how far each source's commands are done is added here.
"""

import numpy as np

from ringbuf.bits import at, mix, wrapping_add
from ringbuf.jit import cold_kernel
from shm_exchange.messages import GATEWAY_LIMIT


@cold_kernel
def attestation(market):
    """Hash of the market as it is between two commands."""
    value = mix(market.scalars[0]["hash"])
    for source in range(GATEWAY_LIMIT):
        value = mix(wrapping_add(value, market.gateways[at(source)]["command_next"]))
    return value


@cold_kernel
def compare(market, event, position):
    """Replicas: note whether the ATTESTED `event` at `position` says of us what is true."""
    scalars = market.scalars[0]
    if event["epoch"] == attestation(market):
        scalars["attested"] = position + 1
    else:
        scalars["differs"] = max(np.int64(1), position)

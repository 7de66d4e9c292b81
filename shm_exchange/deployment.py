"""Shell: the files of `deploy/`, which the package carries along.

In the source tree `shm_exchange/deploy` is a link to `deploy/`; `pip install` puts copies there.
"""

from __future__ import annotations

from importlib import resources

CONFIGURATION = "exchange.toml"


def read(name: str) -> str:
    """The text of a file of `deploy/`."""
    return resources.files("shm_exchange").joinpath("deploy", name).read_text(encoding="utf-8")

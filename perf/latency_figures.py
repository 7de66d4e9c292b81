"""Shell: what is said of latencies everywhere: the same percentiles, from an HDR histogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateways.load.percentiles import histogram, percentiles


def figures(samples: Any) -> dict[str, int]:
    """ns by percent, 50 to 100, which is the largest: of all samples, whatever their shape."""
    found = percentiles(histogram(np.asarray(samples).reshape(-1)))
    return {f"{percent:g}": value for percent, value in found.items()}

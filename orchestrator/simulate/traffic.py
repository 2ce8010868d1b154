"""What arrives in a simulation: a rate per second, and how it falls on the partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: How arrivals fall on partitions: all alike, one with more than its share, or as skewed keys do.
Spread = Literal["even", "hot", "keyed"]

#: Share of the traffic that the hot partition has, whatever the number of partitions.
HOT_SHARE = 0.5
#: Exponent of the Zipf law that keys follow: the second most frequent has 1/2**s of the first, and so on.
KEY_EXPONENT = 1.0


def shares(spread: Spread, partitions: int) -> Floats:
    """Share of the traffic of each partition; they add up to 1."""
    if spread == "hot" and partitions > 1:
        rest = (1 - HOT_SHARE) / (partitions - 1)
        return np.array([HOT_SHARE, *([rest] * (partitions - 1))])
    if spread == "keyed":
        weights = 1 / np.arange(1, partitions + 1) ** KEY_EXPONENT
        return np.asarray(weights / weights.sum(), dtype=float)
    return np.full(partitions, 1 / partitions)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Arrivals at the source topic.

    Attributes:
        rates: messages of each second.
        spread: how they fall on the partitions.
        observed: partitions by second as they were recorded, for as many partitions as the topic had; they are
            believed while the simulated topic has that many.
        changes: seconds at which the load changes for good, as far as the shape knows.
    """

    rates: Floats
    spread: Spread = "even"
    observed: Mapping[int, Floats] | None = None
    changes: tuple[int, ...] = ()

    @property
    def before(self) -> float:
        """Messages/s in the time before the first second: as in the first ten."""
        return float(self.rates[:10].mean())

    def at(self, second: int, partitions: int) -> Floats:
        """Messages of a second, by partition."""
        if self.observed is not None:
            recorded = self.observed.get(second)
            if recorded is not None and len(recorded) == partitions:
                return recorded
        return shares(self.spread, partitions) * float(self.rates[second])

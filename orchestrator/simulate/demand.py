"""How many instances are needed, second by second: what elasticity is measured against."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from orchestrator.core.instance import Instance
from orchestrator.simulate.assignment import assign
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.traffic import Floats, shares

#: Seconds a message may be old: what lasts for less than half of that may wait and needs no instance of its own.
OBJECTIVE_S = 30
#: Share of what arrives that counts as all of it.
ALL = 0.999
#: Where no count manages everything: share of the best possible throughput that is worth having.
AS_GOOD = 0.95


def lasting(rates: Floats, seconds: int = OBJECTIVE_S) -> Floats:
    """Median of the ``seconds`` around each second: edges stay where they are, what is short or noise goes."""
    seconds |= 1  # of an even number the median would be a mean, at an edge one of before and after
    before = seconds // 2
    padded = np.pad(rates, (before, seconds - 1 - before), mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, seconds), axis=1), dtype=float)


class Sizes:
    """How many instances a rate needs, on the devices that are there; the strongest are taken first."""

    def __init__(self, scenario: Scenario, second: int = 0) -> None:
        """Take the devices that are alive in ``second``."""
        alive = [d for d in scenario.devices if scenario.alive(d.name, second)]
        self._rates = sorted((scenario.rates[d.name] for d in alive for _ in range(d.slots)), reverse=True)
        self._spread = scenario.traffic.spread
        self._least = max(1, scenario.service.min_instances)
        self._most = max(self._least, min(scenario.service.max_instances, len(self._rates)))
        self._loads = cache(self._load)

    def least(self, rate: float, partitions: int) -> int:
        """The least count that manages ``rate`` messages/s; where none does, that comes close to the best.

        Partitions cannot be divided, and one that has more than an instance manages is not helped by a second one.
        """
        managed = [self._managed(count, rate, partitions) for count in range(self._least, self._most + 1)]
        enough = ALL * rate if max(managed) >= ALL * rate else AS_GOOD * max(managed)
        return self._least + next(n for n, value in enumerate(managed) if value >= enough)

    def _managed(self, count: int, rate: float, partitions: int) -> float:
        loads = self._loads(count, max(partitions, count))
        return sum(min(rate * load, limit) for load, limit in zip(loads, self._rates, strict=False))

    def _load(self, count: int, partitions: int) -> tuple[float, ...]:
        members = [Instance("demand", f"{n:06d}", 1) for n in range(count)]
        parts = shares(self._spread, partitions)
        loads = dict.fromkeys(members, 0.0)
        for partition, owner in assign(partitions, members, {}).items():
            loads[owner] += float(parts[partition])
        return tuple(sorted(loads.values(), reverse=True))


def demand(scenario: Scenario, filled: float = 1.0) -> Floats:
    """The least number of instances that manage what arrives, for each second and within the service's limits.

    Args:
        scenario: what is simulated; a device that is gone counts for nothing.
        filled: share of its rate that each instance is given to do.
    """
    rates = lasting(scenario.traffic.rates)
    result = np.empty(len(rates))
    moments = sorted({0, *(f.at for f in scenario.failures), *(f.until for f in scenario.failures if f.until)})
    partitions = scenario.partitions
    for begin, end in zip(moments, [*moments[1:], len(rates)], strict=True):
        sizes, known = Sizes(scenario, begin), dict[int, int]()
        for second in range(begin, end):
            rate = math.ceil(rates[second] / filled)
            if rate not in known:
                known[rate] = sizes.least(rate, partitions)
            result[second] = known[rate]
            if known[rate] > partitions:  # the topic grows with its group
                partitions = known[rate]
                known.clear()
    return result

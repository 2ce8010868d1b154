"""Two that know what a real policy cannot: the peak beforehand, and the future."""

from __future__ import annotations

import math

import numpy as np

from orchestrator.simulate.demand import OBJECTIVE_S, demand
from orchestrator.simulate.rivals.seen import Seen
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.traffic import Floats

#: Share of their rate that both give their instances to do: a queue that is filled completely never empties.
FILLED = 0.95
#: Seconds for which fewer instances must suffice before the oracle stops any.
SHORTEST_REST_S = 300
#: Seconds within which two rises are one.
AT_ONCE_S = 60


def peak(scenario: Scenario) -> int:
    """Instances that the highest load needs."""
    return int(demand(scenario, FILLED).max())


class Peak:
    """Static: enough for the highest load, all the time."""

    def __init__(self, scenario: Scenario) -> None:
        """Look at the whole of ``scenario``."""
        self._count = peak(scenario)

    def decide(self, seen: Seen) -> int | None:
        """Always the same."""
        return seen.within(self._count)


class Oracle:
    """Knows the traffic: starts early enough, and stops what will not be needed for a while."""

    def __init__(self, scenario: Scenario) -> None:
        """Make the plan for the whole of ``scenario``."""
        delays = scenario.delays
        # 19 of 20 starts are done by then
        slow = math.exp(2 * delays.startup_spread)
        early = math.ceil(delays.startup_s * slow + delays.rebalance_s) + OBJECTIVE_S // 2
        self._plan = _plan(demand(scenario, FILLED), early)

    def decide(self, seen: Seen) -> int | None:
        """What the plan says of this second."""
        return seen.within(int(self._plan[min(seen.at, len(self._plan) - 1)]))


def _plan(needed: Floats, early: int) -> Floats:
    plan = np.empty(len(needed))
    current = needed[0]
    for second in range(len(needed)):
        if needed[second : second + early + 1].max() > current:
            current = needed[second : second + early + AT_ONCE_S].max()
        elif (rest := needed[second : second + SHORTEST_REST_S].max()) < current:
            current = rest
        plan[second] = current
    return plan

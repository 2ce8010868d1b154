"""How many messages per second a fleet must manage, and the three reasons it must.

needed = arrival / utilisation + lag / catch-up time + arrival x start-up time / catch-up time

The first two terms are those of the Flink Kubernetes operator's autoscaler
(``AutoScalerUtils.getTargetProcessingCapacity``), and so is the third: what arrives while instances start must be
worked off as well. Dividing by the true rate of one instance goes back to DS2 (Kalavri et al., OSDI 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.policy_settings import CapacitySettings

#: Start-up times from which a quantile is taken; the newest so many are kept.
STARTUPS_KEPT = 32


@dataclass(frozen=True, slots=True)
class Need:
    """Messages per second that the fleet must manage.

    Attributes:
        for_arrival: to keep up with what comes, at the utilisation wanted.
        for_lag: to work off the backlog within the catch-up time.
        for_startup: to work off, within the catch-up time, what comes while instances start.
    """

    for_arrival: float
    for_lag: float
    for_startup: float

    @property
    def total(self) -> float:
        """All of it, messages/s."""
        return self.for_arrival + self.for_lag + self.for_startup

    @property
    def standing(self) -> float:
        """What is needed of a fleet that need not start anything, messages/s."""
        return self.for_arrival + self.for_lag


def need(arrival: float, lag: float, startup_s: float, rule: CapacitySettings) -> Need:
    """Put the formula together.

    Args:
        arrival: messages/s.
        lag: messages that have been waiting.
        startup_s: from a decision to a new instance's first message.
        rule: utilisation and catch-up time.
    """
    return Need(arrival / rule.utilisation, lag / rule.catch_up_s, arrival * startup_s / rule.catch_up_s)


def startup(measured: Sequence[float], rule: CapacitySettings) -> float:
    """The start-up time to reckon with: a quantile of those measured, the setting as long as there is none."""
    if not measured:
        return rule.startup_s
    return sorted(measured)[max(0, math.ceil(rule.startup_quantile * len(measured)) - 1)]

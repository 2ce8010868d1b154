"""Policy ``capacity``: as many instances as the arrival, the backlog and the start-up need, in one decision."""

from __future__ import annotations

import math

from orchestrator.core.decision import Decision, Kind
from orchestrator.core.features import Features
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.memory import Memory
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.service import Service


def decide(
    service: Service, features: Features, fleet: ServiceFleet, memory: Memory, rule: CapacitySettings, now: float
) -> tuple[Decision, Memory]:
    """Decide for one service, and say what is to be remembered; pure, and a reason for every outcome."""
    current, traffic = fleet.count, features.traffic
    if current is None or traffic is None or traffic.arrival is None or features.lag is None:
        return Decision(service.name, now, current, current, "unknown", "nothing is known; nothing is changed"), memory
    if not memory.capacities:
        return Decision(service.name, now, current, current, "keeping-up", "no capacity is known yet"), memory
    rate = min(estimate.rate for estimate in memory.capacities.values())
    needed = (
        traffic.arrival / rule.utilisation
        + features.lag / rule.catch_up_s
        + traffic.arrival * rule.startup_s / rule.catch_up_s
    )
    desired = max(service.min_instances, min(service.max_instances, math.ceil(needed / rate)))
    kind: Kind = "scale-out" if desired > current else "keeping-up"
    reason = f"{needed:.0f}/s are needed and one instance manages {rate:.0f}/s"
    return Decision(service.name, now, current, max(current, desired), kind, reason), memory

"""Decides for a service by the policy that it has: the one door to ``ratio`` and ``capacity``."""

from __future__ import annotations

from orchestrator.core import capacity, ratio
from orchestrator.core.decision import Decision
from orchestrator.core.features import Features
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.memory import Memory
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.ratio import RatioRule
from orchestrator.core.service import Service

#: What a service is decided by, every default filled in; ``refresh_s`` is its beat.
Rule = RatioRule | CapacitySettings


def decide(
    service: Service, features: Features, fleet: ServiceFleet, memory: Memory, rule: Rule, now: float
) -> tuple[Decision, Memory]:
    """Decide, and say what is to be remembered until the next decision; pure.

    Args:
        service: whose, with its limits.
        features: its traffic, as :func:`orchestrator.core.features.read` or
            :func:`orchestrator.core.reading.read` read it for this rule.
        fleet: its instances and the devices that it may use.
        memory: what the last decision left, ``busy`` filled in.
        rule: its policy's settings.
        now: seconds since the epoch.
    """
    if isinstance(rule, RatioRule):
        return ratio.decide(service, features, fleet, memory, rule, now), memory
    return capacity.decide(service, features, fleet, memory, rule, now)

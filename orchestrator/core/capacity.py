"""Policy ``capacity``: as many instances as the arrival, the backlog and the start-up need, in one decision.

The order of the questions: is anything known? does the present fleet manage what comes, and does the backlog go? If
not, would more instances help, and may they be started now? If so, would fewer do, and for long enough? Formula and
sources are in :mod:`orchestrator.core.need`; ``docs/policy.md`` explains it all.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core import effect
from orchestrator.core.answer import Answer
from orchestrator.core.blocks import cooldown
from orchestrator.core.case import Case
from orchestrator.core.decision import Decision
from orchestrator.core.features import Features
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.learning import learn
from orchestrator.core.memory import Memory, Trial
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.rates import Rates
from orchestrator.core.service import Service
from orchestrator.core.sizing import Ladder


def decide(
    service: Service, features: Features, fleet: ServiceFleet, memory: Memory, rule: CapacitySettings, now: float
) -> tuple[Decision, Memory]:
    """Decide for one service, and say what is to be remembered; pure, and a reason for every outcome."""
    answer = Answer(service, features, fleet.count, rule, now)
    current, traffic = fleet.count, features.traffic
    if current is None:
        return answer("unknown", "neither reports nor the consumer group could be read; nothing is changed"), memory
    rates = Rates(fleet.devices, memory.capacities)
    memory = effect.judge(features, fleet, memory, rates, rule, now)
    memory = replace(memory, capacities=learn(features, fleet, memory, rule, now))
    rates = Rates(fleet.devices, memory.capacities)
    waits_for = memory.busy or (f"{len(fleet.requested)} instances are being started" if fleet.requested else None)
    if waits_for is not None:
        return answer("busy", f"waiting: {waits_for}"), memory
    if current < service.min_instances:
        return _below_minimum(answer, service, features, memory, rule, now, current)
    if current > service.max_instances:
        return _above_maximum(answer, service, memory, rule, now, current), memory
    if traffic is None or traffic.arrival is None or traffic.lag_least is None or features.lag is None:
        words = "arrival" if traffic is None or traffic.arrival is None else "lag"
        return answer("unknown", f"{words} of the last {rule.persistence_s} s is not known well enough"), memory
    ladder = Ladder(service, fleet, rates, features.partitions)
    case = Case(service, features, traffic, fleet, rule, rates, ladder, now, answer)
    return case.decide(memory) if rates.usual is not None else case.decide_blindly(memory)


def _below_minimum(
    answer: Answer,
    service: Service,
    features: Features,
    memory: Memory,
    rule: CapacitySettings,
    now: float,
    current: int,
) -> tuple[Decision, Memory]:
    missing, least = f"{current} of at least {service.min_instances} instances run", service.min_instances
    asked = memory.trial
    if asked is not None and asked.reached_at is None:
        left = asked.at + rule.up_delay_s - now
        words = f"{missing}, but nothing came of the start {now - asked.at:.0f} s ago; tried again in {left:.0f} s"
        return answer("cooldown", words), memory
    # nothing is predicted of it: there will be nothing to judge
    trial = Trial(now, current, least, 0.0, 0.0, 0.0, features.partitions)
    return answer("below-minimum", missing, desired=least), replace(memory, trial=trial)


def _above_maximum(
    answer: Answer, service: Service, memory: Memory, rule: CapacitySettings, now: float, current: int
) -> Decision:
    cap = f"max_instances {service.max_instances}"
    words = f"{current} instances run, more than {cap}"
    wait = cooldown(memory, rule.down_delay_s, now, stops=True)
    if wait is not None:
        return answer("cooldown", f"{words}, but {wait}", cap=cap)
    return answer("scale-in", words, desired=service.max_instances, cap=cap)

"""Was a scale-out worth it? Judged once its instances have settled; what did not help is not repeated."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, median

from orchestrator.core.decision import Kind
from orchestrator.core.features import Features
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.learning import true_rate
from orchestrator.core.memory import Finding, Memory, Trial
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.rates import Rates

#: A rise that is predicted to be less than this share of the output before is too small to be seen.
VISIBLE = 0.1


def judge(
    features: Features, fleet: ServiceFleet, memory: Memory, rates: Rates, rule: CapacitySettings, now: float
) -> Memory:
    """Follow an open trial, and drop a finding when something has changed since."""
    finding, trial, current = memory.finding, memory.trial, fleet.count
    if current is None or features.traffic is None:
        return memory
    if finding is not None and _changed(finding, features, current, rule, now):
        memory = replace(memory, finding=None)
    if trial is None or memory.busy is not None or fleet.requested:
        return memory
    if trial.reached_at is None:
        if current > trial.current:
            return replace(memory, trial=replace(trial, reached_at=now))
        # nothing has come of it: placement says why, and there is no effect to judge
        return replace(memory, trial=None) if now - trial.at >= rule.up_delay_s else memory
    if now - trial.reached_at < rule.settle_s:
        return memory
    return replace(memory, trial=None, finding=_finding(trial, features, fleet, rates, rule, now))


def _changed(finding: Finding, features: Features, current: int, rule: CapacitySettings, now: float) -> bool:
    arrival = features.traffic.arrival if features.traffic is not None else None
    return (
        now - finding.at >= rule.hold_s
        or current != finding.instances
        or (None not in (features.partitions, finding.partitions) and features.partitions != finding.partitions)
        or (arrival is not None and arrival > finding.arrival_per_s * (1 + rule.change))
    )


def _finding(
    trial: Trial, features: Features, fleet: ServiceFleet, rates: Rates, rule: CapacitySettings, now: float
) -> Finding | None:
    traffic, current = features.traffic, fleet.count or 0
    if traffic is None or traffic.output_now is None or traffic.arrival is None or traffic.lag_least is None:
        return None
    if traffic.lag_least <= rule.backlog_s * traffic.arrival:
        return None  # it keeps up: whatever the throughput, nothing is missing
    came = (current - trial.current) / max(1, trial.desired - trial.current)
    predicted = (trial.expected_per_s - trial.output_per_s) * min(1.0, came)
    gained = traffic.output_now - trial.output_per_s
    if predicted <= VISIBLE * trial.output_per_s or gained >= rule.effect * predicted:
        return None
    what = (
        f"{current - trial.current} more instances raised the output by {gained:.0f}/s to {traffic.output_now:.0f}/s, "
        f"not by {predicted:.0f}/s"
    )

    def found(kind: Kind, words: str, device: str | None = None) -> Finding:
        return Finding(kind, f"{what}: {words}", now, current, traffic.arrival or 0.0, features.partitions, device)

    working = [observed for observed in fleet.observed or () if observed.member is not False]
    shown = {o.instance: rate for o in working if (rate := true_rate(o, features, rule)) is not None}
    for instance, rate in shown.items():
        others = [other for name, other in shown.items() if name != instance]
        # what all suffer from is not the fault of one device
        usual = min(rates.of(instance.device) or 0.0, median(others) if others else math.inf)
        if str(instance) not in trial.known and rate < rule.slow_share * usual:
            words = f"{instance} manages {rate:.0f}/s where {usual:.0f}/s are usual: look at {instance.device}"
            return found("slow-device", words, instance.device)
    each, before = fmean(shown.values()) if shown else 0.0, trial.output_per_s / max(1, trial.current)
    if working and len(shown) == len(working) and each < before:
        words = f"all {len(shown)} are busy, and each finishes {each:.0f}/s where it was {before:.0f}/s before"
        return found("shared-bottleneck", f"{words}: something that they share is full")
    return found("no-effect", "look at what the instances wait for")

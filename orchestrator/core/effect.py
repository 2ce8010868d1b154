"""Was a scale-out worth it? Judged once its instances have settled; what did not help is not repeated."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from orchestrator.core.decision import Kind
from orchestrator.core.features import Features
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.learning import true_rate
from orchestrator.core.memory import Finding, Memory, Trial
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.rates import Rates, class_of

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
        f"{current - trial.current} more instances raised the output from {trial.output_per_s:.0f}/s to "
        f"{traffic.output_now:.0f}/s instead of by {predicted:.0f}/s"
    )

    def found(kind: Kind, words: str, device: str | None = None) -> Finding:
        return Finding(kind, f"{what}: {words}", now, current, traffic.arrival or 0.0, features.partitions, device)

    shown = {o: true_rate(o, features, rule) for o in fleet.observed or () if o.member is not False}
    for observed, rate in shown.items():
        device = observed.instance.device
        usual = rates.of(device)
        if str(observed.instance) not in trial.known and rate is not None and usual and rate < rule.slow_share * usual:
            words = f"{observed.instance} manages {rate:.0f}/s, and its class {class_of(fleet.devices, device)} "
            return found("slow-device", f"{words}{usual:.0f}/s: look at {device}", device)
    measured = [rate for rate in shown.values() if rate is not None]
    if measured:
        each, before = fmean(measured), trial.output_per_s / max(1, trial.current)
        if len(measured) == len(shown) and each < before:
            words = f"all {len(measured)} are busy, and each finishes {each:.0f}/s where it was {before:.0f}/s before"
            return found("shared-bottleneck", f"{words}: something that they share is full")
    return found("no-effect", "look at what the instances wait for")

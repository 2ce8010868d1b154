"""What one instance manages, learned while it shows: only from instances that are busy or lagging."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from orchestrator.core.estimate import Estimate
from orchestrator.core.features import Features
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.memory import Memory
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.rates import class_of

#: Share of the persistence time that an instance's reports must cover.
COVERED = 0.8
#: Persistence times for which a fleet that does not report must have been the same.
UNCHANGED = 1.5


def learn(
    features: Features, fleet: ServiceFleet, memory: Memory, rule: CapacitySettings, now: float
) -> Mapping[str, Estimate]:
    """Add what can be learned now to the capacities, at most one sample per class and persistence time.

    While the effect of a scale-out is open, or was found wanting, known classes learn nothing: members that share a
    bottleneck look slow, and a fleet sized for slow members would grow without end.
    """
    if not fleet.observed:
        return memory.capacities
    known_by_name = memory.capacities
    if known_by_name and all(now - known.at < rule.persistence_s for known in known_by_name.values()):
        return known_by_name
    open_question = memory.trial is not None or memory.finding is not None
    samples: dict[str, list[float]] = {}
    for name, rate in _measured(features, fleet, memory, rule, now):
        samples.setdefault(class_of(fleet.devices, name), []).append(rate)
    learned = dict(memory.capacities)
    for name, rates in samples.items():
        known = learned.get(name)
        if known is None:
            learned[name] = Estimate.of((median(rates),), 1, now)
        elif not open_question and now - known.at >= rule.persistence_s:
            learned[name] = known.add(median(rates), now)
    return learned


def true_rate(observed: Observed, features: Features, rule: CapacitySettings) -> float | None:
    """Messages/s that one instance manages, by its own reports; None while they do not show it.

    Busy and lagging, it is what it finishes. Busy without a backlog, it is what it finishes over the share of time in
    which it was busy. An instance that lags without being busy waits for something else and shows nothing.
    """
    work = features.work.get(str(observed.instance))
    if work is None or work.known_s < COVERED * rule.persistence_s or work.busy < rule.learn_busy:
        return None
    traffic, enough = features.traffic, work.consumed_per_s * rule.backlog_s
    # the partitions' lag is that of now; that there was one all along only the service's least lag can tell
    lagging = traffic is not None and (traffic.lag_least or 0.0) >= enough and _lags(observed, features, enough)
    rate = work.consumed_per_s if lagging else work.consumed_per_s / work.busy
    return rate if rate > 0 else None


def _measured(
    features: Features, fleet: ServiceFleet, memory: Memory, rule: CapacitySettings, now: float
) -> list[tuple[str, float]]:
    """Device and rate of each instance that shows one."""
    working = [observed for observed in fleet.observed or () if observed.member is not False]
    if any(work.busy > 0 for work in features.work.values()):
        rates = [(observed.instance.device, true_rate(observed, features, rule)) for observed in working]
        return [(device, rate) for device, rate in rates if rate is not None]
    # nobody says how busy it is: what a fleet finishes that lags all the time, and has not changed, is its capacity
    traffic = features.traffic
    if traffic is None or traffic.output_now is None or traffic.lag_least is None or not working:
        return []
    changed = max(memory.last_seen_new_at or 0.0, memory.last_stop_at or 0.0, memory.last_start_at or 0.0)
    if now - changed < UNCHANGED * rule.persistence_s or traffic.lag_least < rule.backlog_s * traffic.output_now:
        return []
    rate = traffic.output_now / (len(working) + len(fleet.foreign))
    if rate <= 0 or not all(_lags(observed, features, rate * rule.backlog_s) for observed in working):
        return []
    return [(observed.instance.device, rate) for observed in working]


def _lags(observed: Observed, features: Features, messages: float) -> bool:
    """Whether so many messages wait on the partitions that an instance owns, so that it never had to wait for one."""
    owned = observed.partitions
    if not owned or not features.offsets:
        return False
    return sum(p.lag for p in features.offsets if p.number in owned) >= max(1.0, messages)

"""A backlog that more instances would not touch: one record that is not got past, or one partition that has it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.decision import Kind
from orchestrator.core.features import Features
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.partition import Partition
from orchestrator.core.policy_settings import CapacitySettings


@dataclass(frozen=True, slots=True)
class Culprit:
    """Why a backlog is there.

    Attributes:
        kind: ``stuck-record`` or ``hot-partition``.
        words: the same in a sentence, with its partition and record.
        lag: messages of the backlog that it explains.
        partition: its number.
        record: place of the record, None for a hot partition.
    """

    kind: Kind
    words: str
    lag: int
    partition: int
    record: str | None = None


def find(
    topic: str, features: Features, fleet: ServiceFleet, rule: CapacitySettings, now: float
) -> tuple[Culprit, ...]:
    """Name what holds the backlog up; stuck records first.

    A partition is stuck when it has lag and no commit has moved for ``stuck_s`` while it had an owner and the service
    finished messages elsewhere, or its instances name one of its records. It is hot when it has ``hot_share`` of the
    rest of the lag, what waits on all others together is no backlog, and its owner has no other partition that more
    instances could relieve it of.
    """
    offsets, traffic = features.offsets, features.traffic
    if not offsets or traffic is None:
        return ()
    slack = rule.backlog_s * (traffic.arrival or 0.0)
    still = any(p.still_since is not None and now - p.still_since >= rule.stuck_s for p in offsets)
    if not still and (features.lag or 0) <= slack:
        return ()
    named = {place.split("@")[0]: place for place in features.stuck}
    moving = any(p.still_since is None or now - p.still_since < rule.stuck_s for p in offsets)
    stuck = [p for p in offsets if _stuck(p, f"{topic}[{p.number}]" in named, moving, rule, now)]
    found = [_stuck_record(topic, p, named, fleet, now) for p in stuck]
    rest = [p for p in offsets if p not in stuck]
    hottest = _hottest(rest, slack, rule)
    if hottest is not None and len(_owned_with(fleet, hottest.number)) == 1:
        found.append(_hot_partition(topic, hottest, sum(p.lag for p in rest), fleet))
    return tuple(found)


def crowded(features: Features, fleet: ServiceFleet, rule: CapacitySettings) -> str | None:
    """Whether one instance of several has the backlog on more than one partition, in words; None when that is not so.

    Then the partitions are not alike, and an instance for each of them relieves that one as far as can be.
    """
    arrival = features.traffic.arrival if features.traffic is not None else None
    lags, total = {p.number: p.lag for p in features.offsets}, sum(p.lag for p in features.offsets)
    members = [(o.instance, o.partitions) for o in fleet.observed or () if o.partitions]
    if len(members) < 2 or total <= rule.backlog_s * (arrival or 0.0):  # noqa: PLR2004 - one and another
        return None
    lag, instance, count = max((sum(lags.get(n, 0) for n in own), str(name), len(own)) for name, own in members)
    if count == 1 or lag < rule.hot_share * total or total - lag > rule.backlog_s * (arrival or 0.0):
        return None
    return f"{instance} has {lag} of {total} waiting messages on {count} partitions, while the others keep up"


def _hottest(partitions: Sequence[Partition], slack: float, rule: CapacitySettings) -> Partition | None:
    lag = sum(p.lag for p in partitions)
    if len(partitions) == 1 or lag <= slack:
        return None
    hottest = max(partitions, key=lambda p: p.lag)
    return hottest if hottest.lag >= rule.hot_share * lag and lag - hottest.lag <= slack else None


def _stuck(partition: Partition, named: bool, moving: bool, rule: CapacitySettings, now: float) -> bool:
    since = partition.still_since
    return since is not None and now - since >= rule.stuck_s and (named or moving)


def _owned_with(fleet: ServiceFleet, partition: int) -> tuple[int, ...]:
    """Every partition of the owner of one; none when it is not known."""
    owned = (o.partitions for o in fleet.observed or () if o.partitions and partition in o.partitions)
    return next(owned, ())


def _owner(fleet: ServiceFleet, partition: int) -> str:
    owners = (o.instance for o in fleet.observed or () if o.partitions and partition in o.partitions)
    owner = next(owners, None)
    return "nobody" if owner is None else str(owner)


def _stuck_record(topic: str, partition: Partition, named: dict[str, str], fleet: ServiceFleet, now: float) -> Culprit:
    where = f"{topic}[{partition.number}]"
    record = named.get(where, f"{where}@{partition.committed}")
    still = now - (partition.still_since or now)
    said = "its instance names it as stuck" if where in named else "other partitions go on"
    words = (
        f"{record} is not got past: no commit on {where} for {still:.0f} s while {partition.lag} messages wait behind "
        f"it, and {said}; its owner is {_owner(fleet, partition.number)}"
    )
    return Culprit("stuck-record", words, partition.lag, partition.number, record)


def _hot_partition(topic: str, partition: Partition, lag: int, fleet: ServiceFleet) -> Culprit:
    words = (
        f"{topic}[{partition.number}] has {partition.lag} of {lag} waiting messages, and only its owner "
        f"{_owner(fleet, partition.number)} can work on it"
    )
    return Culprit("hot-partition", words, partition.lag, partition.number)

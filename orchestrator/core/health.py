"""Which instances ail: pure following of what is seen of them from tick to tick."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.requirements import HealSettings

#: A longer time between two looks (the broker was away) counts for nothing against an instance.
LONGEST_GAP_S = 15.0
#: A member that has sent no report for longer is silent.
SILENT_S = 15.0
#: Between two diagnoses of the same instance.
RECHECK_S = 5.0

Complaint = Literal["gone", "left", "silent", "stuck", "outdated"]


@dataclass(frozen=True, slots=True)
class Vital:
    """What is remembered of one instance.

    Attributes:
        well_at: when it last was a member of its group and not silent, seconds since the epoch.
        moved_at: when its committed offsets last moved, or nothing waited for it.
        offsets: committed offset of each partition that it owns.
        restarts: when it was restarted.
        looked_at: when it was last diagnosed; None when never since it was well.
        said: the diagnosis that was told last.
    """

    well_at: float
    moved_at: float
    offsets: tuple[tuple[int, int], ...] = ()
    restarts: tuple[float, ...] = ()
    looked_at: float | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Ailment:
    """An instance that should work and does not.

    Attributes:
        instance: which.
        complaint: ``gone`` (neither reports nor is a member), ``left`` (reports, is no member), ``silent`` (is a
            member, does not report), ``stuck`` (committed offsets stand still while messages wait), ``outdated`` (it
            waits for the wanted release).
        since: since when, seconds since the epoch.
        words: the same in a sentence.
        waits_for: the release without which it does not begin.
    """

    instance: Instance
    complaint: Complaint
    since: float
    words: str
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What a tick has seen of one service.

    Attributes:
        fleet: its instances.
        ends: end offset of each partition of its source topic; None when unknown.
        committed: committed offset of each of them, likewise; absent when none is.
        reporting: whether any instance but those that are silent reports: if none does, the observer topic is suspect.
        at: seconds since the epoch.
        gap_s: seconds since the last sight.
        outdated: instances that report that they wait for a release, and for which.
    """

    fleet: ServiceFleet
    ends: Mapping[int, int] | None
    committed: Mapping[int, int] | None
    reporting: bool
    at: float
    gap_s: float = 0.0
    outdated: Mapping[Instance, str] = field(default_factory=dict)


def follow(
    before: Mapping[Instance, Vital], expected: Collection[Instance], sight: Sight, heal: HealSettings
) -> tuple[dict[Instance, Vital], tuple[Ailment, ...]]:
    """Bring what is remembered up to date, and tell who ails.

    Args:
        before: what the last call returned.
        expected: instances that should work; the others are forgotten.
        sight: what is seen now.
        heal: the service's settings.
    """
    seen = {observed.instance: observed for observed in sight.fleet.observed or ()}
    after, ailments = {}, []
    for instance in expected:
        vital = before.get(instance, Vital(sight.at, sight.at))
        if sight.gap_s > LONGEST_GAP_S:
            vital = replace(vital, well_at=vital.well_at + sight.gap_s, moved_at=vital.moved_at + sight.gap_s)
        vital, ailment = _examine(instance, vital, seen.get(instance), sight, heal)
        after[instance] = vital
        if ailment is not None:
            ailments.append(ailment)
    return after, tuple(sorted(ailments, key=lambda found: (found.since, found.instance)))


def due(ailments: Collection[Ailment], vitals: Mapping[Instance, Vital], now: float) -> Ailment | None:
    """The ailment to look after next: the oldest that has not been looked at for a moment."""
    for ailment in ailments:
        looked_at = vitals[ailment.instance].looked_at
        if looked_at is None or now - looked_at >= RECHECK_S:
            return ailment
    return None


def _examine(
    instance: Instance, vital: Vital, seen: Observed | None, sight: Sight, heal: HealSettings
) -> tuple[Vital, Ailment | None]:
    now = sight.at
    vital = _moved(vital, seen, sight)
    wanted = sight.outdated.get(instance)
    if wanted is not None:  # nothing mends that by itself
        words = f"has an old release and waits for {wanted}, since it was away during an upgrade"
        return vital, Ailment(instance, "outdated", now, words, wanted)
    complaint = _complaint(seen, sight)
    if complaint is None:
        vital = replace(vital, well_at=now)
        stuck = now - vital.moved_at
        if stuck < heal.stuck_s:
            return replace(vital, looked_at=None, said=""), None
        where = ", ".join(f"{partition} at {offset}" for partition, offset in vital.offsets)
        words = f"its committed offsets stand still since {stuck:.0f} s while messages wait: partition {where}"
        return vital, Ailment(instance, "stuck", vital.moved_at, words)
    since = now - vital.well_at
    if since < heal.notice_s:
        return vital, None
    words = {
        "gone": "neither reports nor is a member of its group",
        "left": "reports but is no member of its group",
        "silent": "is a member of its group but does not report",
    }[complaint]
    return vital, Ailment(instance, complaint, vital.well_at, f"{words} since {since:.0f} s")


def _complaint(seen: Observed | None, sight: Sight) -> Literal["gone", "left", "silent"] | None:
    if seen is None:
        return "gone"
    if seen.member is False:
        return "left"
    # without any report from anybody it is the observer topic that is silent
    silent = seen.report_age_s is not None and seen.report_age_s > SILENT_S
    return "silent" if silent and sight.reporting else None


def _moved(vital: Vital, seen: Observed | None, sight: Sight) -> Vital:
    if seen is None or seen.partitions is None or sight.ends is None or sight.committed is None:
        return vital
    offsets = tuple((p, sight.committed.get(p, 0)) for p in sorted(seen.partitions))
    waiting = sum(max(0, sight.ends.get(p, 0) - offset) for p, offset in offsets)
    # the marker that ends a producer's transaction has an offset, too, and nobody can commit past it
    if offsets != vital.offsets or waiting <= len(offsets):
        return replace(vital, offsets=offsets, moved_at=sight.at)
    return vital

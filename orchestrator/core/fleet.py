"""Who really runs: three sets per service, planned, requested and observed. Observed wins.

``planned`` is what the last decision wants, ``requested`` what Ansible was asked for and has not yet been
proved, ``observed`` what reports, group membership and assignment show. The ledger is never believed about
a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.device import Device
from orchestrator.core.instance import Instance


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a consumer group.

    Attributes:
        client_id: the instance's name, or a foreign client's.
        topics: what it subscribes to.
        partitions: what it owns, by topic; empty while the group rebalances.
        member_id: what the coordinator calls it; another one in each life of a process.
    """

    client_id: str
    topics: tuple[str, ...]
    partitions: Mapping[str, tuple[int, ...]]
    member_id: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group as its coordinator describes it.

    While it is not stable, it lists who is or asks to become a member, but not what they subscribe to and own.
    """

    group_id: str
    state: str
    members: tuple[Member, ...]

    @property
    def stable(self) -> bool:
        """True when members, subscriptions and assignments can be believed."""
        return self.state in ("Stable", "Empty", "Dead")


@dataclass(frozen=True, slots=True)
class Observed:
    """One instance that proved to exist.

    Attributes:
        instance: which.
        report_age_s: seconds since its last report; None when it never reported.
        member: whether its group lists it; None when the group could not be read.
        partitions: partitions of the source topic that it owns; None when unknown.
    """

    instance: Instance
    report_age_s: float | None
    member: bool | None
    partitions: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ServiceFleet:
    """The instances of one service.

    Attributes:
        observed: instances that report or are members; None when neither could be read. One that reports but is not
            listed by its stable group is joining, or pretending: it holds its slot but does not count.
        requested: instances being started or drained right now.
        foreign: client ids in the group that are no instances of ours.
        devices: those that the service may use, by name.
        free: slots that nobody holds, by device; an unusable device has none, one that is not named all but those
            that this service holds.
    """

    observed: tuple[Observed, ...] | None
    requested: tuple[Instance, ...] = ()
    foreign: tuple[str, ...] = ()
    devices: Mapping[str, Device] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """Instances that work, None when unknown."""
        return None if self.observed is None else sum(o.member is not False for o in self.observed)

    @property
    def working(self) -> frozenset[Instance]:
        """Instances that are members of their group, or report while it cannot be asked."""
        return frozenset(o.instance for o in self.observed or () if o.member is not False)

    @property
    def instances(self) -> frozenset[Instance]:
        """Every instance that holds a slot: observed ones and those being started."""
        return frozenset(o.instance for o in self.observed or ()) | frozenset(self.requested)


def observe(
    service: str,
    source_topic: str,
    slots: Mapping[str, int],
    report_ages: Mapping[str, float] | None,
    group: Group | None,
    requested: tuple[Instance, ...] = (),
    silent_after_s: float = 10.0,
) -> ServiceFleet:
    """Put reports and membership together.

    Args:
        service: name of the service.
        source_topic: topic whose partitions count as owned.
        slots: slots of each device that may run the service; a name on any other device, or in a slot that the device
            does not have, is a stranger's.
        report_ages: seconds since the last report by instance name; None when the observer is cut off.
        group: the consumer group; None when it could not be read.
        requested: instances in the middle of a start or a drain.
        silent_after_s: an instance that is no member and has been silent for longer is gone.
    """
    members = {m.client_id: m for m in group.members} if group is not None and group.stable else None
    if members is None and report_ages is None:
        return ServiceFleet(observed=None, requested=requested)
    ages = report_ages or {}
    names = {name for name, age in ages.items() if age <= silent_after_s} | set(members or ())
    observed, foreign = [], []
    for name in sorted(names):
        instance = Instance.parse(name)
        if instance is None or instance.service != service or instance.slot > slots.get(instance.device, 0):
            foreign.append(name)
            continue
        member = (members or {}).get(name)
        observed.append(
            Observed(
                instance=instance,
                report_age_s=ages.get(name),
                member=None if members is None else member is not None,
                partitions=None if member is None else member.partitions.get(source_topic, ()),
            )
        )
    return ServiceFleet(observed=tuple(observed), requested=requested, foreign=tuple(foreign))

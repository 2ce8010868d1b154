"""How many partitions a topic needs: as many as its group has members that subscribe to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.fleet import Group
from orchestrator.core.service import Service


@dataclass(frozen=True, slots=True)
class Growth:
    """One topic that should have more partitions.

    Attributes:
        topic: which.
        before: partitions now.
        after: partitions wanted; always more than before.
        reason: why, in words.
        refused: why it is not done; None when it may be done.
    """

    topic: str
    before: int
    after: int
    reason: str
    refused: str | None = None


def needed(group: Group) -> dict[str, int]:
    """Members per topic, by the members' own subscriptions; so a group may have many topics."""
    return dict(Counter(topic for member in group.members for topic in member.topics))


def plan(service: Service, group: Group, partitions: Mapping[str, int]) -> tuple[Growth, ...]:
    """Growths that let every member of the service's group own a partition of each topic it subscribes to.

    Topics of services with an ordering are refused: growth moves keys to other partitions. So is growth for more
    members than ``max_instances``. A topic whose partition count is not known is left alone.
    """
    growths = []
    for topic, members in sorted(needed(group).items()):
        before = partitions.get(topic)
        if before is None or before >= members:
            continue
        refused = None
        if service.ordering != "none":
            refused = f"{service.name} has ordering: {service.ordering}, which growth would break"
        elif members > service.max_instances:
            refused = f"{members} members are more than max_instances {service.max_instances} of {service.name}"
        growths.append(
            Growth(topic, before, members, f"{members} members of {group.group_id} subscribe to {topic}", refused)
        )
    return tuple(growths)

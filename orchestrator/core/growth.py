"""How many partitions a topic needs: one for each member that subscribes to it, and the same number for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from orchestrator.core.fleet import Group
from orchestrator.core.instance import Instance
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
    """Members per topic, by the members' own subscriptions; so a group may have many topics.

    An instance that was restarted is listed twice until its earlier life's session ends, and counts once. Foreign
    clients share names, so each of them counts.
    """
    counted: set[str] = set()
    topics: Counter[str] = Counter()
    for member in group.members:
        if Instance.parse(member.client_id) is not None:
            if member.client_id in counted:
                continue
            counted.add(member.client_id)
        topics.update(member.topics)
    return dict(topics)


def expected(before: Group, now: Group, asking: Collection[Instance], topic: str) -> Group:
    """The group as it will be when those who ask to join it now are in.

    Grown for that, the topic's new partitions are given out in the rebalance that is under way, and need none of their
    own. An instance that asks is as good as a member: its process lives, and the coordinator has let it in.

    Args:
        before: the group when it was stable last: what the others subscribe to is not told meanwhile.
        now: the group as it rebalances.
        asking: instances being started.
        topic: what these subscribe to.
    """
    names = {str(instance) for instance in asking}
    known = {member.client_id for member in before.members}
    new = [member for member in now.members if member.client_id in names - known]
    return replace(before, members=(*before.members, *(replace(member, topics=(topic,)) for member in new)))


@lru_cache(maxsize=65_536)
def even(members: int, before: int, most: int) -> int:
    """Partitions that a topic with ``before`` of them should have for so many members.

    At least one for each member, at most ``most`` (a topic that has more keeps them), and the smallest of those counts
    with which the most burdened member has the smallest share of the traffic. Four partitions for three members are
    2/1/1, so that one has half of the work; five are 2/2/1, where two have 40 % each; six are 2/2/2.
    """
    least = max(before, min(members, most))
    if members < 1 or least >= most:
        return least
    return min(range(least, most + 1), key=lambda count: (math.ceil(count / members) / count, count))


def plan(service: Service, group: Group, partitions: Mapping[str, int], planned: int = 0) -> tuple[Growth, ...]:
    """Growths that let every member of the service's group own as many partitions of each topic as the others.

    Args:
        service: whose group it is, with its limits.
        group: its members, stable.
        partitions: partition count by topic; a topic whose count is not known is left alone.
        planned: instances that the decision being carried out wants: topics are grown once, for all of them.

    Topics of services with an ordering are refused: growth moves keys to other partitions. So is growth for more
    members than ``max_instances``. Nothing is grown for a group that has a partition for each member already and
    is not going to grow: what would only be more even comes with the next scale-out.
    """
    growths = []
    most = service.partitions_limit
    for topic, members in sorted(needed(group).items()):
        before = partitions.get(topic)
        if before is None:
            continue
        words = f"{members} members of {group.group_id} subscribe to {topic}"
        if before < members:
            after = even(max(members, planned), before, most)
            refused = _refused(service, members, after)
            growths.append(Growth(topic, before, members if refused else after, words, refused))
        elif 0 < planned <= members and service.ordering == "none":
            after = even(members, before, most)
            if after > before:
                growths.append(Growth(topic, before, after, f"{words}: {after} partitions are the same for each"))
    return tuple(growths)


def _refused(service: Service, members: int, after: int) -> str | None:
    if service.ordering != "none":
        return f"{service.name} has ordering: {service.ordering}, which growth would break"
    if members > service.max_instances:
        return f"{members} members are more than max_instances {service.max_instances} of {service.name}"
    if after < members:
        return f"{members} members are more than max_partitions {service.partitions_limit} of {service.name}"
    return None

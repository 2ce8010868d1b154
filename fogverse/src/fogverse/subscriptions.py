"""What the members of a consumer group subscribe to, as the members themselves have told the broker."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

#: How instances of the runtime are named: service@device.slot. Such a name exists once.
_INSTANCE = re.compile(r"[^@]+@.+\.\d+")
#: States in which the answer is whole: the broker leaves subscriptions out while a group rebalances.
_SETTLED = frozenset({"Stable", "Empty", "Dead", ""})


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a consumer group.

    Attributes:
        member_id: the broker's name for it, new each time it joins.
        client_id: its own name.
        topics: what it subscribes to.
    """

    member_id: str
    client_id: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group at one moment.

    Attributes:
        group_id: its name.
        state: Kafka's word for its state; empty for a group that does not exist.
        members: its members; only known when ``settled``.
    """

    group_id: str
    state: str
    members: tuple[Member, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether the members and their subscriptions are known; False while the group rebalances."""
        return self.state in _SETTLED

    def needed(self) -> dict[str, int]:
        """Members per topic: the partitions with which each can own one of every topic it subscribes to.

        An instance that was killed and came back is a member twice until the session of the dead one ends;
        growth cannot be undone, so instances count once by their name. Other programs often share a client
        id ("rdkafka"), so each of these counts.
        """
        once = {m.client_id if _INSTANCE.fullmatch(m.client_id) else m.member_id: m for m in self.members}
        return dict(Counter(topic for member in once.values() for topic in set(member.topics)))


def read_group(admin: AdminClient, group_id: str, timeout_s: float) -> Group:
    """Ask the broker for a group.

    ``list_groups`` and not ``describe_consumer_groups``: the latter gives assignments only, and a member that
    waits for a partition has none. The former passes on what each member said when it joined; the client
    library deprecates it in favour of the latter, and has nothing else that would tell subscriptions.

    Raises:
        KafkaException: the broker did not answer, or refuses to.
    """
    # Added each time, which changes nothing the second time: filters may be reset, and a context that restores
    # them would not be safe with threads.
    warnings.filterwarnings("ignore", r"list_groups\(\) is deprecated", DeprecationWarning)
    for found in admin.list_groups(group_id, timeout=timeout_s):
        if found.error is not None:
            raise KafkaException(found.error)
        members: Iterable[Member] = ()
        if found.state == "Stable":
            members = (Member(str(m.id), str(m.client_id), subscription(m.metadata or b"")) for m in found.members)
        return Group(group_id, str(found.state), tuple(members))
    return Group(group_id, "")


def subscription(metadata: bytes) -> tuple[str, ...]:
    """The topics in a member's metadata: version, then an array of strings; what follows is not needed.

    Raises:
        ValueError: it is no subscription of Kafka's consumer protocol.
    """
    position = 2

    def take(size: int) -> bytes:
        nonlocal position
        piece = metadata[position : position + size]
        if size < 0 or len(piece) < size:
            raise ValueError("a member's metadata is no subscription of the consumer protocol")
        position += size
        return piece

    count = int.from_bytes(take(4), "big", signed=True)
    return tuple(take(int.from_bytes(take(2), "big", signed=True)).decode() for _ in range(count))

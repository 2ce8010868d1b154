"""A look at the cluster: offsets, commits and groups at one instant, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.fleet import Group


@dataclass(frozen=True, slots=True)
class Look:
    """What the cluster said at one instant.

    Attributes:
        at: when, seconds since the epoch.
        ends: end offset of each partition, by topic; a topic that does not exist is absent.
        begins: first offset that the log still has, likewise.
        committed: committed offset of each partition, by group; -1 never appears, absent means none.
        groups: the groups asked for.
        counts: partition count of each topic asked for, and of those that the groups' members subscribe to.
    """

    at: float
    ends: Mapping[str, Mapping[int, int]]
    committed: Mapping[str, Mapping[tuple[str, int], int]]
    groups: Mapping[str, Group]
    begins: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def partitions(self, topic: str) -> int | None:
        """Partition count of a topic; None when it does not exist."""
        ends = self.ends.get(topic)
        return None if ends is None else len(ends)

    def end(self, topic: str) -> int | None:
        """Messages ever appended to a topic, the sum of its end offsets; None when it does not exist."""
        ends = self.ends.get(topic)
        return None if ends is None else sum(ends.values())

    def progress(self, group: str, topic: str) -> int | None:
        """Sum of the group's committed offsets on a topic; None when the group was not read."""
        committed = self.committed.get(group)
        if committed is None:
            return None
        begins = self.begins.get(topic, {})
        own = {partition: offset for (of, partition), offset in committed.items() if of == topic}
        # before its first commit a partition stands where its log begins, or that commit would look like a burst
        return sum(own.get(partition, begin) for partition, begin in (begins or dict.fromkeys(own, 0)).items())

    def positions(self, group: str, topic: str) -> Mapping[int, int]:
        """Where the group stands on each partition: its commit, or where the log begins; empty when not known."""
        committed, begins = self.committed.get(group), self.begins.get(topic, {})
        if committed is None:
            return {}
        return {p: committed.get((topic, p), begins.get(p, 0)) for p in self.ends.get(topic, {})}

    def lag(self, group: str, topic: str) -> int | None:
        """Messages appended but not committed; a partition without a commit counts from where its log begins."""
        ends, committed = self.ends.get(topic), self.committed.get(group)
        if ends is None or committed is None:
            return None
        begins = self.begins.get(topic, {})
        return sum(
            max(0, end - committed.get((topic, partition), begins.get(partition, 0))) for partition, end in ends.items()
        )

"""Who owns which partition after a rebalance: balanced, and as few moved as that allows.

Kafka's cooperative-sticky assignor: counts differ by one at most, and only what must move stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.core.instance import Instance


def assign(partitions: int, members: Sequence[Instance], before: Mapping[int, Instance]) -> dict[int, Instance]:
    """Give every partition an owner.

    Args:
        partitions: their count; they are numbered from 0.
        members: the group, in any order.
        before: owner by partition until now; an owner that has left is no member any more.

    Returns:
        Owner by partition; empty when there is no member.
    """
    if not members:
        return {}
    least, more = divmod(partitions, len(members))
    owned: dict[Instance, list[int]] = {member: [] for member in sorted(members)}
    for partition, owner in sorted(before.items()):
        if owner in owned and partition < partitions:
            owned[owner].append(partition)
    # those that have most keep one more, so that the fewest move
    ranked = sorted(owned, key=lambda member: (-len(owned[member]), member))
    quota = {member: least + (place < more) for place, member in enumerate(ranked)}
    result = {p: member for member, held in owned.items() for p in held[: quota[member]]}
    free = [p for p in range(partitions) if p not in result]
    for member in ranked:
        missing = quota[member] - min(len(owned[member]), quota[member])
        for _ in range(missing):
            result[free.pop(0)] = member
    return result

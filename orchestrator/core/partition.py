"""One partition of a source topic, as its offsets show it over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition at one instant.

    Attributes:
        number: which.
        end: offset of the next message to be appended.
        committed: offset of the next message to be processed; where the log begins before the first commit.
        still_since: since when there is lag and no commit has moved, seconds since the epoch; None when that is not so.
    """

    number: int
    end: int
    committed: int
    still_since: float | None = None

    @property
    def lag(self) -> int:
        """Messages appended and not committed."""
        return max(0, self.end - self.committed)


def follow(
    before: Mapping[int, Partition], ends: Mapping[int, int], committed: Mapping[int, int], at: float
) -> dict[int, Partition]:
    """Put a new look at a topic's offsets beside the one before it.

    Args:
        before: the partitions at the look before; empty when there was none.
        ends: end offset by partition.
        committed: committed offset by partition, or where its log begins; a partition without one begins at 0.
        at: when that was read, seconds since the epoch.
    """
    found = {}
    for number, end in ends.items():
        offset = committed.get(number, 0)
        still: float | None = None
        if offset < end:
            old = before.get(number)
            still = old.still_since if old is not None and old.committed == offset and old.still_since else at
        found[number] = Partition(number, end, offset, still)
    return found

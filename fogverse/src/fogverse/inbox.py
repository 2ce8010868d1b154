"""Messages between the client and their begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from fogverse.assignment import Partition
from fogverse.message import Message

#: Bytes of values, and messages, from which on a partition is crowded; shared out among the partitions owned.
BYTES = 2_000_000
MESSAGES = 8_000


class Inbox:
    """What has been taken from the client and not been begun, by partition. Used by the loop's thread only.

    The client gives what it has fetched in the order of fetching, hundreds of one partition before the first of the
    next. Without a place to wait, a partition whose share of the work is full would keep back all others.
    """

    def __init__(self) -> None:
        self._waiting: dict[Partition, deque[Message]] = {}
        self._bytes: dict[Partition, int] = {}

    def put(self, message: Message) -> None:
        """Take a message in, behind those of its partition."""
        partition = message.topic, message.partition
        waiting = self._waiting.get(partition)
        if waiting is None:
            waiting = self._waiting[partition] = deque()
            self._bytes[partition] = 0
        waiting.append(message)
        self._bytes[partition] += len(message.value)

    def take(self, full: Callable[[Partition], bool]) -> Message | None:
        """The next message of a partition that is not full; None if there is none."""
        for partition, waiting in self._waiting.items():
            if not full(partition):
                message = waiting.popleft()
                if waiting:
                    self._bytes[partition] -= len(message.value)
                else:
                    self.forget([partition])
                return message
        return None

    def crowded(self, owned: int) -> list[Partition]:
        """Partitions of which no more should be taken for now, of ``owned`` in all."""
        share = max(1, owned)
        return [
            partition
            for partition, waiting in self._waiting.items()
            if len(waiting) >= MESSAGES // share or self._bytes[partition] >= BYTES // share
        ]

    def holds(self, partition: Partition) -> bool:
        """Whether messages of a partition wait."""
        return partition in self._waiting

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drop the messages of partitions: they are not ours any more, or nothing waits."""
        for partition in partitions:
            self._waiting.pop(partition, None)
            self._bytes.pop(partition, None)

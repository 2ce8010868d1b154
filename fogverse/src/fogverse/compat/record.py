"""What FogVerse's nodes get and are told: a consumed record, and where a produced one is."""

from __future__ import annotations

from typing import NamedTuple

from fogverse.message import Message


class ConsumerRecord(Message):
    """A ``Message`` with the one name that aiokafka's records have besides."""

    __slots__ = ()

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since the epoch; None for records without."""
        return self.timestamp_ms


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class RecordMetadata(NamedTuple):
    """Where the broker has put a record."""

    topic: str
    partition: int
    offset: int

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it is in."""
        return TopicPartition(self.topic, self.partition)

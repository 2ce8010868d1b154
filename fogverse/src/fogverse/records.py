"""What the client gives and takes, as values of ours and back."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Message as Record
from confluent_kafka import TopicPartition

from fogverse.assignment import Partition
from fogverse.message import Message


def message_of(record: Record) -> Message:
    """A record that is no error."""
    timestamp_ms = record.timestamp()[1]
    headers = record.headers()
    # What Message() does, in half the time.
    return tuple.__new__(
        Message,
        (
            record.value() or b"",
            record.key(),
            tuple(headers) if headers else (),
            record.topic() or "",
            record.partition() or 0,
            record.offset() or 0,
            timestamp_ms if timestamp_ms >= 0 else None,
        ),
    )


def names(partitions: list[TopicPartition]) -> list[Partition]:
    """Their names alone."""
    return [(p.topic, p.partition) for p in partitions]


def offsets(positions: Mapping[Partition, int]) -> list[TopicPartition]:
    """Positions as a commit takes them."""
    return [TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()]


def text(partitions: list[Partition]) -> str:
    """As logs write them."""
    return " ".join(f"{topic}[{number}]" for topic, number in partitions) or "nothing"

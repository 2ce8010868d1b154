"""What a callable gets and what it may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

#: Record headers as Kafka has them: ordered, names may repeat, a value may be null.
Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]


class Message(NamedTuple):
    """One record of the source topic; immutable.

    A named tuple and not a dataclass, because one is made for every record and it costs half as much.

    Attributes:
        value: the payload; ``b""`` for a null value (a tombstone).
        key: the record's key, None if it has none.
        headers: (name, value) pairs in the record's order.
        topic: where it was read.
        partition: partition of the topic.
        offset: position in the partition.
        timestamp_ms: milliseconds since the epoch by the producer's or the broker's clock (the topic's
            ``message.timestamp.type`` decides); None for records without one.
    """

    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    topic: str = ""
    partition: int = 0
    offset: int = 0
    timestamp_ms: int | None = None

    @property
    def place(self) -> str:
        """Where it is, as logs write it: ``topic[partition]@offset``."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Output(NamedTuple):
    """One record to produce, when the plain payload is not enough.

    Attributes:
        value: the payload; None writes a null value (a tombstone).
        key: key of the new record; records with the same key go to the same partition.
        headers: headers of the new record.
        topic: where to; None means the target topic of the settings.
        delivered: called with topic, partition and offset once the broker has acknowledged it, in the thread of
            the loop, which it must not hold up; never called for an output that is given up.
    """

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    topic: str | None = None
    delivered: Callable[[str, int, int], None] | None = None


#: What a callable may return. Plain bytes mean "the same record with a new value": key and headers are kept.
Returned: TypeAlias = bytes | Message | Output | Iterable[bytes | Message | Output] | None


class WrongOutputError(TypeError):
    """The callable returned something that is no output; the text says what it should return."""


def outputs_of(returned: object, message: Message, target_topic: str | None) -> list[Output]:
    """Bring whatever the callable returned for ``message`` into one form, each output with its topic.

    Args:
        returned: None, bytes, an Output, a Message (passed on as it is) or an iterable of these.
        message: the message it was called with; gives key and headers to plain bytes.
        target_topic: where outputs go that name no topic.

    Raises:
        WrongOutputError: for anything else, or when there is no topic to produce to.
    """
    if returned is None:
        return []
    if isinstance(returned, bytes | Output | Message):
        return [_one(returned, message, target_topic)]
    if isinstance(returned, str | bytearray | memoryview) or not isinstance(returned, Iterable):
        raise WrongOutputError(_what(returned))
    return [_one(item, message, target_topic) for item in returned]


def _one(item: object, message: Message, target_topic: str | None) -> Output:
    delivered = None
    if isinstance(item, bytes):
        value: bytes | None = item
        key, headers, topic = message.key, message.headers, target_topic
    elif isinstance(item, Output):
        value, key, headers, topic, delivered = item
        topic = topic or target_topic
        if not isinstance(value, bytes | None) or not isinstance(key, bytes | None):
            raise WrongOutputError(
                f"Output(value={type(value).__name__}, key={type(key).__name__}): both must be bytes or None"
            )
    elif isinstance(item, Message):
        value, key, headers, topic = item.value, item.key, item.headers, target_topic
    else:
        raise WrongOutputError(_what(item))
    if topic is None:
        raise WrongOutputError(
            "an output but no topic for it: set FOGVERSE_TARGET_TOPIC, return Output(topic=...), or return None"
        )
    return Output(value, key, headers, topic, delivered)


def _what(item: object) -> str:
    return (
        f"returned {type(item).__name__}: "
        "return bytes, None, fogverse.Output, or an iterable of bytes and Outputs (encode text yourself)"
    )

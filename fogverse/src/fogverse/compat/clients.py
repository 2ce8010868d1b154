"""The halves of a node: where its data comes from, and where it goes."""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from typing import Any

from fogverse.compat import codec
from fogverse.compat.calls import settled
from fogverse.compat.config import adopt_topics, consumer_settings, producer_settings
from fogverse.compat.delivery import Delivery
from fogverse.compat.member import GroupMember
from fogverse.compat.outlet import Outlet, pairs
from fogverse.compat.record import ConsumerRecord

log = logging.getLogger(__name__)


class AbstractConsumer:
    """A node's input; override ``receive`` to make data instead of consuming a topic.

    Attributes:
        auto_decode: whether bytes are decoded, see ``codec.decode``.
    """

    auto_decode: bool = True

    async def start_consumer(self) -> None:
        """Get ready to receive."""

    async def receive(self) -> Any:
        """The next piece of data; None to be asked again."""
        raise NotImplementedError(f"{type(self).__name__} consumes no topic: override receive()")

    def decode(self, data: Any) -> Any:
        """What ``process`` gets."""
        return codec.decode(data) if self.auto_decode else data

    async def close_consumer(self) -> None:
        """Receive no more."""


class AIOKafkaConsumer(AbstractConsumer):
    """Input from Kafka topics, as a member of a group.

    ``consumer_topic``, ``group_id``, ``consumer_servers``, ``consumer_conf``: see ``config.consumer_settings``.
    """

    consumer_topic: Any = None
    _delivery: Delivery | None

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:  # noqa: ARG002 -- the running loop is used
        adopt_topics(self)

    @cached_property
    def consumer(self) -> Any:
        """The member; may be replaced."""
        return GroupMember(lambda: consumer_settings(self))

    async def start_consumer(self) -> None:
        """Join the group."""
        if getattr(self, "read_last", False) or getattr(self, "always_read_last", False):
            log.warning("read_last is not followed: it skips messages; the group goes on where it stopped")
        await self.consumer.start()

    async def receive(self) -> ConsumerRecord | None:
        """The next record; None when the node has drained.

        Raises:
            RuntimeError: called twice in a turn.
        """
        if self._delivery is not None:
            raise RuntimeError(
                "receive() gives one record in a turn, which is committed when the turn is over: to work on several "
                "at once, use ParallelRunnable or fogverse.Executor"
            )
        self._delivery = await self.consumer.getone()
        return None if self._delivery is None else self._delivery.record

    async def close_consumer(self) -> None:
        """Drain and leave the group."""
        await self.consumer.stop()


class AbstractProducer:
    """A node's output; without one that sends, what ``process`` returns is dropped: the node is a sink.

    Attributes:
        auto_encode: whether text and arrays are encoded, see ``codec.encode``.
        message: what was received last.
        producer_topic: where ``send`` sends to.
    """

    auto_encode: bool = True
    message: Any
    producer_topic: str | None = None

    def encode(self, data: Any) -> Any:
        """What ``send`` gets."""
        return codec.encode(data) if self.auto_encode else data

    async def start_producer(self) -> None:
        """Get ready to send."""

    async def close_producer(self) -> None:
        """Send no more."""

    async def _send(self, data: Any, *, topic: str | None, key: Any, headers: Any) -> Any:  # noqa: ARG002
        """Hand over one record; returns what awaits its acknowledgement, or None."""
        return None

    async def send(
        self, data: Any, topic: Any = None, key: Any = None, headers: Any = None, callback: Any = None
    ) -> Any:
        """Send a record with the key and the headers of the message, unless others are given; None is not sent.

        Args:
            data: payload.
            topic: where to; ``producer_topic`` by default.
            key: its key.
            headers: pairs or a dictionary.
            callback: called with the ``RecordMetadata`` when it is acknowledged; ``self.callback`` by default.

        Returns:
            What awaits the acknowledgement, or the callback's result if there is one.
        """
        if data is None:
            return None
        self._headers = pairs(headers or getattr(self.message, "headers", None))
        self._topic = topic or self.producer_topic
        key = key or getattr(self.message, "key", None)
        acknowledgement = await self._send(data, topic=self._topic, key=key, headers=self._headers)
        callback = callback or getattr(self, "callback", None)
        if not callable(callback):
            return acknowledgement
        extra = getattr(self, "_get_extra_callback_args", None)
        arguments, options = extra() if callable(extra) else ((), {})

        async def call_back() -> Any:
            metadata = None if acknowledgement is None else await acknowledgement
            return await settled(callback(metadata, *arguments, **options))

        return self._keep(asyncio.ensure_future(call_back()))

    def _keep(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        """Keep a callback's task until it is done."""
        if not hasattr(self, "_callbacks"):
            self._callbacks: set[asyncio.Task[Any]] = set()
        self._callbacks.add(task)
        task.add_done_callback(self._called_back)
        return task

    def _called_back(self, task: asyncio.Task[Any]) -> None:
        self._callbacks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a callback failed; the message is not affected", exc_info=error)


class AIOKafkaProducer(AbstractProducer):
    """Output to Kafka.

    ``producer_topic``, ``producer_servers``, ``producer_conf``: see ``config.producer_settings``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:  # noqa: ARG002 -- the running loop is used
        adopt_topics(self)

    @cached_property
    def producer(self) -> Any:
        """The producer; may be replaced."""
        return Outlet(lambda: producer_settings(self))

    async def start_producer(self) -> None:
        """Get ready to send."""
        await self.producer.start()

    async def _send(self, data: Any, *, topic: str | None, key: Any, headers: Any) -> Any:
        if not topic:
            raise ValueError("there is no topic to send to: set PRODUCER_TOPIC or self.producer_topic, or give topic=")
        return await self.producer.send(topic, value=data, key=key, headers=headers)

    async def close_producer(self) -> None:
        """Wait for what was sent directly."""
        await self.producer.stop()

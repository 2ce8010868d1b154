"""What a node's ``self.producer`` is: sends in a message's course go the engine's way, all others directly."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fogverse.compat.delivery import CURRENT, Acknowledgement
from fogverse.compat.record import RecordMetadata
from fogverse.kafka_config import producer_config
from fogverse.kafka_errors import passing
from fogverse.message import Headers, Output
from fogverse.settings import Settings
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

Text: TypeAlias = str | bytes
GivenHeaders: TypeAlias = Iterable[tuple[str, Text | None]] | Mapping[str, Text | None]


class Outlet:
    """Produces for one node.

    Args:
        settings: reads where to produce to; called once, at the first send.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._read_settings = settings
        self._producer: Producer | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._throttle = Throttle()

    async def start(self) -> None:
        """Nothing has to be started: a connection is made at the first send that is not in a message's course."""

    async def send(
        self, topic: str, value: Text | None = None, key: Text | None = None, headers: GivenHeaders | None = None
    ) -> Acknowledgement:
        """Send a record, as aiokafka's ``send``: returns when it is queued.

        In the course of a consumed message it becomes an output of that message: it is produced when the message's
        turn is over, and the message is committed only when it is acknowledged. Otherwise it is produced at once.

        Raises:
            KafkaException: the producer does not take it.
        """
        delivery = CURRENT.get()
        if delivery is None or delivery.settled:
            return await self._direct(topic, value, key, headers)
        if delivery.servers != self._settings.bootstrap_servers:
            acknowledgement = await self._direct(topic, value, key, headers)
            delivery.awaited.append(acknowledgement)
            return acknowledgement
        acknowledgement = Acknowledgement(delivery)
        delivery.outputs.append(Output(_bytes(value), _bytes(key), pairs(headers), topic, acknowledgement.delivered))
        return acknowledgement

    async def send_and_wait(
        self, topic: str, value: Text | None = None, key: Text | None = None, headers: GivenHeaders | None = None
    ) -> RecordMetadata:
        """Produce a record at once and wait for its acknowledgement.

        Raises:
            KafkaException: it could not be produced.
        """
        return await (await self._direct(topic, value, key, headers))

    async def flush(self) -> None:
        """Wait until everything that was produced directly is acknowledged or has failed."""
        if self._producer is not None:
            await asyncio.to_thread(self._producer.flush)

    async def stop(self, timeout_s: float = 20) -> None:
        """Wait for what was produced directly, at most ``timeout_s``, and close."""
        if self._producer is None or self._thread is None:
            return
        left = await asyncio.to_thread(self._producer.flush, timeout_s)
        if left:
            log.error("%d records were not acknowledged within %.0f s and are given up", left, timeout_s)
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        self._producer.purge()

    @cached_property
    def _settings(self) -> Settings:
        return self._read_settings()

    async def _direct(
        self, topic: str, value: Text | None, key: Text | None, headers: GivenHeaders | None
    ) -> Acknowledgement:
        producer = self._producer or self._open()
        acknowledgement = Acknowledgement(None)
        told = partial(self._told, acknowledgement)
        while True:
            try:
                producer.produce(topic, _bytes(value), _bytes(key), on_delivery=told, headers=list(pairs(headers)))
            except BufferError:  # the broker is away or slow: wait for room, as the engine does
                await asyncio.sleep(0.05)
                continue
            return acknowledgement

    def _open(self) -> Producer:
        config = producer_config(self._settings) | {"error_cb": self._failed}
        self._producer = Producer(config, logger=kafka_log)
        self._thread = threading.Thread(target=self._poll, args=(self._producer,), name="fogverse-outlet", daemon=True)
        self._thread.start()
        return self._producer

    def _poll(self, producer: Producer) -> None:
        while not self._stopping.is_set():
            try:
                producer.poll(0.2)
            except KafkaException as error:  # it raises what ended the producer for good
                self._failed(error.args[0])

    def _told(self, acknowledgement: Acknowledgement, error: KafkaError | None, record: Message) -> None:
        if error is None:
            acknowledgement.delivered(record.topic() or "", record.partition() or 0, record.offset() or 0)
            return
        log.error("a record for %s is not delivered: %s", record.topic(), error.str())
        acknowledgement.failed(KafkaException(error))

    def _failed(self, error: KafkaError) -> None:
        if self._throttle.allows(error.name()):
            log.warning("producer: %s", passing(error))


def pairs(headers: GivenHeaders | None) -> Headers:
    """Headers as Kafka has them, from pairs or a dictionary, text or bytes."""
    listed = headers.items() if isinstance(headers, Mapping) else headers or ()
    return tuple((name, _bytes(value)) for name, value in listed)


def _bytes(given: Text | None) -> bytes | None:
    return given.encode() if isinstance(given, str) else given

"""The crawler's way to Kafka: numbered messages out, acknowledgements back."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

log = logging.getLogger(__name__)

#: Seconds that the broker has to answer at the start.
CONNECT_S = 10.0

_FULL_S = 0.1  # how long a full queue is waited for before looking again whether to go on


class CrawlerError(Exception):
    """The crawler cannot send; the text says why and what to do."""


class Feed:
    """A Kafka producer of one run's messages. One thread sends; the counts may be read from any.

    Attributes:
        run: the common beginning of the ids.
        sent: messages given to the producer so far.
        acknowledged: messages that Kafka has confirmed to have so far.
        failed_ids: ids of messages given up; Kafka may have them all the same.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        run: str,
        keyed: bool = False,
        settings: Mapping[str, str] | None = None,
        producer: Callable[[dict[str, Any]], Any] = Producer,
    ) -> None:
        self.run = run
        self.sent = 0
        self.acknowledged = 0
        self.failed_ids: list[str] = []
        self._topic = topic
        self._keyed = keyed
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "client.id": f"crawler-{run}",
            "enable.idempotence": True,  # a retry must not look like a message delivered twice
            "linger.ms": 5,
            "partitioner": "consistent_random",
            "sticky.partitioning.linger.ms": 0,  # each message for itself: evenly at low rates too
            "topic.metadata.refresh.interval.ms": 2000,
            "message.timeout.ms": 60000,
            "log_level": 0,  # it repeats each failed attempt; error_cb tells as much
            "error_cb": self._in_trouble,
            **(settings or {}),
        }
        self._make_producer = producer
        self._producer: Any = None
        self._trouble: str | None = None

    def connect(self) -> None:
        """Make the producer and see whether the topic is there.

        Raises:
            CrawlerError: a setting is wrong, the broker does not answer, or it has no such topic.
        """
        servers = self._config["bootstrap.servers"]
        try:
            producer = self._make_producer(dict(self._config))
        except KafkaException as error:
            raise CrawlerError(f"settings for Kafka: {_text(error)}") from error
        try:
            topic = producer.list_topics(self._topic, timeout=CONNECT_S).topics[self._topic]
        except KafkaException as error:
            producer.poll(0)  # lets error_cb say what it really was
            raise CrawlerError(
                f"no answer from the broker at {servers}: {self._trouble or _text(error)}; is it running?"
            ) from error
        if topic.error is not None:
            raise CrawlerError(f"topic {self._topic!r} at {servers}: {topic.error.str()}; create it first")
        self._producer = producer

    def send(self, text: str, *, unless: threading.Event) -> None:
        """Send one message. While the producer's queue is full it waits, ``unless`` the event is set."""
        identity = f"{self.run}-{self.sent + 1:07d}"
        fields = {"id": identity, "text": text, "sent_ms": time.time_ns() // 1_000_000}
        value = json.dumps(fields).encode("ascii")
        key = identity.encode() if self._keyed else None
        while not unless.is_set():
            try:
                self._producer.produce(self._topic, value, key=key, on_delivery=partial(self._delivered, identity))
            except BufferError:  # the broker is slower than we are, or away
                self._producer.poll(_FULL_S)
            else:
                self.sent += 1
                return

    def poll(self) -> None:
        """Take in the acknowledgements that have come; does not wait."""
        self._producer.poll(0)

    def close(self, timeout_s: float) -> None:
        """Wait for outstanding acknowledgements, give up what has none by then. May be called again."""
        if self._producer is not None and self._producer.flush(timeout_s):
            self._producer.purge()
            self._producer.flush(timeout_s)  # serves the delivery reports of what was purged
        self._producer = None

    def _delivered(self, identity: str, error: KafkaError | None, _message: object) -> None:
        if error is None:
            self.acknowledged += 1
            self._trouble = None
        else:
            log.warning("message %s was not acknowledged: %s", identity, error.str())
            self.failed_ids.append(identity)

    def _in_trouble(self, error: KafkaError) -> None:
        if self._trouble is None and self._producer is not None:  # once per outage
            log.warning("%s", error.str())
        self._trouble = error.str()


def _text(error: KafkaException) -> str:
    reason = error.args[0]
    return reason.str() if isinstance(reason, KafkaError) else str(reason)

"""Rows to a topic, as JSON; what cannot be sent soon is dropped and counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from fogverse.kafka_config import report_config
from fogverse.settings import Settings
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Rows that wait for the broker at most.
WAITING = 1_000
#: Seconds that the last rows may take.
LAST_S = 1.0


class TopicLog:
    """Sends rows to a topic without ever waiting for the broker.

    Args:
        settings: where the broker is.
        topic: where the rows go.

    Attributes:
        lost: rows dropped since the start.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self.lost = 0
        self._topic = topic
        self._throttle = Throttle(quiet_s=60.0)
        config = report_config(settings) | {
            "queue.buffering.max.messages": WAITING,
            "queue.buffering.max.kbytes": 1024,
            "linger.ms": 100,
            "error_cb": lambda _error: None,  # its connection errors are those of the node's other clients
        }
        self._producer = Producer(config, logger=kafka_log)

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take a row; never blocks and never raises."""
        try:
            self._producer.produce(self._topic, json.dumps(fields, default=str).encode(), on_delivery=self._answered)
            self._producer.poll(0)
        except BufferError:
            self._drop("its queue is full")
        except KafkaException as error:
            self._drop(error.args[0].str())

    def close(self) -> None:
        """Send what waits, for at most ``LAST_S``."""
        self._producer.flush(LAST_S)
        self._producer.purge()
        self._producer.poll(0)

    def _answered(self, error: KafkaError | None, _record: object) -> None:
        if error is not None:
            self._drop(error.str())

    def _drop(self, reason: str) -> None:
        self.lost += 1
        if self._throttle.allows("dropped"):
            log.warning(
                "profiling rows for %s are dropped: %s (%d since start; processing goes on)",
                self._topic,
                reason,
                self.lost,
            )

"""Opening kafka-python's admin client without leaving anything behind when no broker answers."""

from __future__ import annotations

from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from orchestrator.errors import BrokerRefuses
from orchestrator.kafka_refusal import refusal


class _Admin(KafkaAdminClient):  # type: ignore[misc]  # kafka-python has no types
    """An admin client that ends its own thread and sockets when it cannot be made.

    kafka-python starts its I/O thread before it looks for a broker, and forgets it when it finds none: in an outage
    each attempt would leave a thread and several sockets behind.
    """

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except BaseException:
            if hasattr(self, "_client"):
                self._closed = False  # else close() believes that there is nothing to close
                self.close()
            raise


def open_admin(**options: Any) -> KafkaAdminClient:
    """An admin client; blocks until a broker has answered.

    Raises:
        BrokerRefuses: a broker is there, and it and we do not come together.
        KafkaError: no broker answered within ``bootstrap_timeout_ms``; nothing is left behind.
    """
    try:
        return _Admin(**options)
    except KafkaError as error:
        if words := refusal(options):
            raise BrokerRefuses(f"the Kafka broker {words}") from error
        raise

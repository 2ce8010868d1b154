"""The ledger: decisions, steps and outcomes on a Kafka topic, so that a restarted master continues from it.

Kafka is the distributed part: no database of our own. Records are JSON, keyed by kind, service and time; the
topic is compacted and also drops what is older than a week.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kafka import KafkaProducer
from kafka.errors import KafkaError

from orchestrator.broker.tail import tail

log = logging.getLogger(__name__)

#: Records kept while the broker is away; the oldest are dropped beyond that, and the drop is logged.
KEPT = 10_000

RecordKind = Literal["decision", "step", "master"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the ledger.

    Attributes:
        kind: a decision, a step of carrying one out, or the coming and going of a master.
        service: whose; empty for a master.
        at: seconds since the epoch.
        body: the record's own fields.
    """

    kind: RecordKind
    service: str
    at: float
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        """The record's key; unique, so that compaction keeps it until it is too old."""
        return f"{self.kind}/{self.service}/{self.at:.6f}".encode()

    def encode(self) -> bytes:
        """The record's value."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Entry | None:
        """Read a record's value; None when it is not one of ours."""
        try:
            fields = json.loads(raw)
            return cls(fields["kind"], fields["service"], float(fields["at"]), dict(fields["body"]))
        except (ValueError, KeyError, TypeError):
            return None


class Ledger:
    """Writes entries without ever blocking the loop: what cannot be sent now is sent later."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        """Remember how to connect; nothing is contacted before the first :meth:`flush`."""
        self._options = options
        self._topic = topic
        self._pending: deque[Entry] = deque(maxlen=KEPT)
        self._sent: list[tuple[Entry, Any]] = []
        self._producer: KafkaProducer | None = None

    def append(self, entry: Entry) -> None:
        """Remember an entry; it is sent by the next :meth:`flush`."""
        if len(self._pending) == KEPT:
            log.warning("the ledger's buffer is full (%d entries): the oldest entry is dropped", KEPT)
        self._pending.append(entry)

    def flush(self, timeout_s: float = 0.0) -> int:
        """Send what is pending and look after what was sent.

        Args:
            timeout_s: how long to wait for acknowledgements; 0 only looks.

        Returns:
            The number of entries that are not yet acknowledged.
        """
        try:
            if self._producer is None:
                self._producer = KafkaProducer(
                    **self._options,
                    client_id="fogverse-orchestrator-ledger",
                    acks="all",
                    delivery_timeout_ms=20_000,
                    request_timeout_ms=5_000,
                    max_block_ms=2_000,
                    reconnect_backoff_max_ms=2_000,
                )
            while self._pending:
                entry = self._pending[0]
                future = self._producer.send(self._topic, value=entry.encode(), key=entry.key)
                self._sent.append((self._pending.popleft(), future))
            if timeout_s:
                self._producer.flush(timeout=timeout_s)
        except (KafkaError, OSError) as error:
            log.debug("ledger %s is not reachable: %s", self._topic, error)
        failed = [entry for entry, future in self._sent if future.is_done and future.failed()]
        self._sent = [(entry, future) for entry, future in self._sent if not future.is_done]
        self._pending.extendleft(reversed(failed))
        return len(self._pending) + len(self._sent)

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what is pending, for at most ``timeout_s``, and close."""
        left = self.flush(timeout_s)
        if left:
            log.warning("%d entries of the ledger could not be written: the broker did not answer", left)
        if self._producer is not None:
            self._producer.close(timeout=1)


def read(options: Mapping[str, Any], topic: str, most: int = 5_000) -> list[Entry]:
    """The newest entries, oldest first; none when the topic does not exist.

    Args:
        options: kafka-python's connection options.
        topic: the ledger's topic.
        most: entries read per partition, counted from the end.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    entries = [Entry.decode(record.value) for record in tail(options, topic, most=most) if record.value is not None]
    return sorted((entry for entry in entries if entry is not None), key=lambda entry: entry.at)

"""The ledger: what masters decided, did and remember, on two Kafka topics, so that the next master goes on from it.

Kafka is the distributed part: no database of our own. Records are JSON. The *history* holds decisions, steps and the
coming and going of masters, and drops what is older than a week. The *state* holds the last memory of each policy and
the last order of an operator, one record per service or device, compacted and never dropped; it has one partition,
whose owner is the master that leads (see ``leadership``).
"""

from __future__ import annotations

import json
import logging
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kafka import KafkaProducer
from kafka.errors import KafkaError

from orchestrator.broker.tail import tail
from orchestrator.core.mark import Mark

log = logging.getLogger(__name__)

#: Records kept while the broker is away; the oldest are dropped beyond that, and the drop is logged.
KEPT = 10_000

RecordKind = Literal["decision", "step", "master", "memory", "override", "device"]

#: Kinds of which only the last per service, or per device, counts.
_STATE: frozenset[RecordKind] = frozenset(("memory", "override", "device"))


def state_topic(ledger_topic: str) -> str:
    """Name of the topic that holds the state beside a ledger's history."""
    return f"{ledger_topic}-state"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the ledger.

    Attributes:
        kind: a decision, a step of carrying one out, the coming and going of a master, what a policy remembers, or
            an operator's order for a service or a device.
        service: whose; empty for a master and for a device.
        at: seconds since the epoch.
        body: the record's own fields.
        since: when the first of a row of alike entries was made, of which compaction keeps the last; None stands alone.
        device: which one an order is about; empty for everything else.
    """

    kind: RecordKind
    service: str
    at: float
    body: Mapping[str, Any] = field(default_factory=dict)
    since: float | None = None
    device: str = ""

    @property
    def key(self) -> bytes:
        """The record's key: a record of the state replaces the last, one of the history only its own row's."""
        if self.kind in _STATE:
            return f"{self.kind}/{self.service or self.device}".encode()
        return f"{self.kind}/{self.service}/{self.at if self.since is None else self.since:.6f}".encode()

    def topics(self, ledger_topic: str) -> tuple[str, ...]:
        """Where it is kept; orders are history, too."""
        state = (state_topic(ledger_topic),) if self.kind in _STATE else ()
        return state if self.kind == "memory" else (*state, ledger_topic)

    def encode(self) -> bytes:
        """The record's value."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Entry | None:
        """Read a record's value; None when it is not one of ours."""
        try:
            fields = dict(json.loads(raw))
            since = fields.get("since")
            return cls(
                fields["kind"],
                fields["service"],
                float(fields["at"]),
                dict(fields["body"]),
                None if since is None else float(since),
                str(fields.get("device") or ""),
            )
        except (ValueError, KeyError, TypeError):
            return None


class Ledger:
    """Writes entries without ever blocking the loop: what cannot be sent now is sent later."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        """Remember how to connect; nothing is contacted before the first :meth:`flush`."""
        self._options = options
        self._topic = topic
        self._pending: deque[tuple[str, Entry]] = deque(maxlen=KEPT)
        self._sent: list[tuple[tuple[str, Entry], Any]] = []
        self._producer: KafkaProducer | None = None

    def append(self, entry: Entry) -> None:
        """Remember an entry; it is sent by the next :meth:`flush`."""
        if len(self._pending) == KEPT:
            log.warning("the ledger's buffer is full (%d records): the oldest is dropped", KEPT)
        self._pending.extend((topic, entry) for topic in entry.topics(self._topic))

    def flush(self, timeout_s: float = 0.0) -> int:
        """Send what is pending and look after what was sent.

        Args:
            timeout_s: how long to wait for acknowledgements; 0 only looks.

        Returns:
            The number of records that are not yet acknowledged.
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
                topic, entry = self._pending[0]
                future = self._producer.send(topic, value=entry.encode(), key=entry.key)
                self._sent.append((self._pending.popleft(), future))
            if timeout_s:
                self._producer.flush(timeout=timeout_s)
        except (KafkaError, OSError) as error:
            log.debug("ledger %s is not reachable: %s", self._topic, error)
        failed = [record for record, future in self._sent if future.is_done and future.failed()]
        self._sent = [(record, future) for record, future in self._sent if not future.is_done]
        # before what is newer; a full buffer drops its oldest, which are the first of these
        self._pending = deque((*failed, *self._pending), maxlen=KEPT)
        return len(self._pending) + len(self._sent)

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what is pending, for at most ``timeout_s``, and close."""
        left = self.flush(timeout_s)
        if left:
            log.warning("%d records of the ledger could not be written: the broker did not answer", left)
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


def read_state(options: Mapping[str, Any], topic: str) -> dict[tuple[RecordKind, str], Entry]:
    """The state that masters and operators left: the last entry per kind and service, or per kind and device.

    Args:
        options: kafka-python's connection options.
        topic: the ledger's topic; the state's name follows from it.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    records = tail(options, state_topic(topic), most=sys.maxsize)
    entries = (Entry.decode(record.value) for record in records if record.value is not None)
    return {(entry.kind, entry.service or entry.device): entry for entry in entries if entry is not None}


def marks(options: Mapping[str, Any], topic: str, now: float) -> dict[str, Mark]:
    """What operators have ordered for devices and is in force, by device.

    Args:
        options: kafka-python's connection options.
        topic: the ledger's topic.
        now: seconds since the epoch.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    found = (Mark.from_dict(e.body) for e in read_state(options, topic).values() if e.kind == "device")
    return {mark.device: mark for mark in found if mark is not None and mark.holds(now)}

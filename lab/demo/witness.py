"""An independent reader of the pipeline's end: which ids came out, how often, and who was first."""

from __future__ import annotations

import json
import threading
from collections import Counter

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

_POLL_S = 0.2


class Witness:
    """Counts ids on a topic in a thread of its own, by assignment: it takes part in no group."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Take the broker and a topic of one partition."""
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._topic = topic
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "witness", "enable.auto.commit": False, "log_level": 2}
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def start(self) -> None:
        """Begin with the topic's first message."""
        self._consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        self._thread.start()

    def unique(self) -> int:
        """Different ids seen so far."""
        with self._lock:
            return len(self._times)

    def counts(self, beginning: str) -> dict[str, int]:
        """How often each id with this beginning was seen."""
        with self._lock:
            return {identity: times for identity, times in self._times.items() if identity.startswith(beginning)}

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            messages = self._consumer.consume(500, _POLL_S)
            with self._lock:
                for message in messages:
                    if message.error() is None:
                        self._count(message.value())
        self._consumer.close()

    def _count(self, raw: bytes | None) -> None:
        try:
            self._times[str(json.loads(raw or b"")["id"])] += 1
        except (ValueError, KeyError, TypeError):
            self._times["unreadable"] += 1

"""Reading the observer topic: one thread that turns reports into counts per second.

The topic is read by assignment, never as a member of a group: the master wants every partition, and
kafka-python's group consumer can lose its assignment for good while partitions are added.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from orchestrator.core.tally import Tally

log = logging.getLogger(__name__)

#: How long one poll waits; also how soon a stop is noticed.
POLL_MS = 200
#: How often new partitions of the observer topic are looked for.
METADATA_MAX_AGE_MS = 5_000
RETRY_S = 2.0
_LOG_APPEND_TIME = 1


class Observer:
    """Drains the observer topic in a thread of its own; the loop takes what it has each tick."""

    def __init__(self, options: Mapping[str, Any], topic: str, group_id: str | None, history_s: float) -> None:
        """Remember how to connect; nothing is contacted before :meth:`start`.

        Args:
            options: kafka-python's connection options.
            topic: the observer topic.
            group_id: group under which the position is committed, so that lag tools show the master's; None commits
                nothing.
            history_s: how far back to begin, so that a restarted master has its window at once.
        """
        self._options = options
        self._topic = topic
        self._group_id = group_id
        self._history_s = history_s
        self._lock = threading.Lock()
        self._tally = Tally()
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def wait_caught_up(self, timeout_s: float) -> bool:
        """Wait until the history that was there at the start has been read; False after ``timeout_s``."""
        return self._caught_up.wait(timeout_s)

    def take(self) -> Tally:
        """Everything read since the last take."""
        with self._lock:
            taken, self._tally = self._tally, Tally()
        return taken

    def close(self) -> None:
        """Stop reading and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except (KafkaError, OSError) as error:
                log.warning("observer topic %s cannot be read: %s; trying again", self._topic, error)
                self._stop.wait(RETRY_S)
            except Exception:  # whatever it is, a master without its observer would be blind for ever
                log.exception("reading the observer topic %s failed; trying again", self._topic)
                self._stop.wait(RETRY_S)

    def _read(self) -> None:
        consumer = KafkaConsumer(
            **self._options,
            client_id="fogverse-orchestrator-observer",
            group_id=self._group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            reconnect_backoff_max_ms=2_000,
            max_poll_records=5_000,
        )
        try:
            assigned: dict[TopicPartition, int] = {}
            next_look, start = 0.0, time.time() - self._history_s
            while not self._stop.is_set():
                if time.monotonic() >= next_look:
                    if assigned and self._group_id is not None:
                        consumer.commit_async()  # nothing waits for it: it is for the eyes of lag tools only
                    self._assign(consumer, assigned, start)
                    next_look = time.monotonic() + METADATA_MAX_AGE_MS / 1000
                if not assigned:
                    self._caught_up.set()  # the topic does not exist: there is no history
                    self._stop.wait(0.5)
                    continue
                records = consumer.poll(timeout_ms=POLL_MS)
                self._count(records)
                if not self._caught_up.is_set():
                    self._check_caught_up(consumer, assigned)
        finally:
            consumer.close()

    def _assign(self, consumer: KafkaConsumer, assigned: dict[TopicPartition, int], start: float) -> None:
        partitions = consumer.partitions_for_topic(self._topic) or set()
        new = [tp for tp in (TopicPartition(self._topic, p) for p in sorted(partitions)) if tp not in assigned]
        if not new:
            return
        ends = consumer.end_offsets(new)
        begin = consumer.offsets_for_times({tp: int(start * 1000) for tp in new})
        positions = {tp: consumer.position(tp) for tp in assigned}
        # a partition without anything recent is read from its end, where the next message will be
        positions |= {tp: begin[tp].offset if begin.get(tp) else ends[tp] for tp in new}
        consumer.assign(list(positions))
        for tp, offset in positions.items():
            consumer.seek(tp, offset)
        assigned.update(ends)

    def _check_caught_up(self, consumer: KafkaConsumer, assigned: Mapping[TopicPartition, int]) -> None:
        if all(consumer.position(tp) >= end for tp, end in assigned.items()):
            self._caught_up.set()

    def _count(self, records: Mapping[TopicPartition, list[Any]]) -> None:
        received = time.time()
        with self._lock:
            for batch in records.values():
                for record in batch:
                    # A device's clock is not trusted: without log-append time our own is used, except for what was
                    # there before us, which has no better time than the sender's.
                    theirs = record.timestamp_type == _LOG_APPEND_TIME or not self._caught_up.is_set()
                    at = record.timestamp / 1000 if theirs else received
                    self._tally.add(record.value, at, record.partition, record.offset)

"""The track: topics full of messages, a contender let loose on them, its time taken by the broker, its work checked."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from consumption.order import Order
from consumption.work import LOOPS_VARIABLE
from lab.broker import LocalBroker
from orchestrator.broker.cluster import Cluster

BYTES = 100
DEADLINE_S = 240


class FoulError(Exception):
    """A contender lost messages, repeated them without need, mixed up keys, or did not arrive."""


@dataclass(frozen=True)
class Race:
    """What one contender did.

    Attributes:
        messages: messages processed.
        seconds: from the broker's time stamp of its first output to that of its last.
        mixed_up: outputs that came before an earlier message of their key.
    """

    messages: int
    seconds: float
    mixed_up: int

    @property
    def rate(self) -> float:
        """Messages per second."""
        return (self.messages - 1) / self.seconds


class Track:
    """Fills topics and lets contenders run, each in a fresh process with a fresh group and target topic."""

    def __init__(self, broker: LocalBroker, loops: int) -> None:
        self._bootstrap = broker.bootstrap
        self._cluster = Cluster({"bootstrap_servers": [broker.bootstrap]})
        self._loops = loops
        self._cluster.create("observer", 1)
        self._sources: dict[tuple[int, int, int], str] = {}

    def close(self) -> None:
        """Let go of the broker."""
        self._cluster.close()

    def source(self, partitions: int, keys: int, messages: int) -> str:
        """A topic with so many messages: KEY-NUMBER filled up to 100 bytes, keys in turn, a key in one partition."""
        asked = (partitions, keys, messages)
        if asked not in self._sources:
            topic = f"in-{partitions}-{keys}-{messages}"
            self._cluster.create(topic, partitions)
            producer = Producer({"bootstrap.servers": self._bootstrap, "queue.buffering.max.messages": messages + 1})
            for n in range(messages):
                key = n % keys
                value = f"{key}-{n // keys}".encode().ljust(BYTES)
                producer.produce(topic, value, str(key), key % partitions)
            if producer.flush(60):
                raise FoulError("the broker did not take the messages within 60 s")
            self._sources[asked] = topic
        return self._sources[asked]

    def race(self, contender: str, source: str, messages: int, work: str, workers: int, **more: str) -> Race:
        """Let one contender process a topic.

        Args:
            contender: module of this package.
            source: topic with the messages.
            messages: how many there are.
            work: ``io``, ``cpu`` or ``noop``.
            workers: messages worked on at once.
            more: ``variant`` of the contender; ``processes``, how many of them are started.

        Raises:
            FoulError: it did not do what it should.
        """
        name = f"{contender}-{uuid.uuid4().hex[:8]}"
        self._cluster.create(name, 1, {"message.timestamp.type": "LogAppendTime"})
        order = Order(self._bootstrap, source, name, name, work, workers, more.get("variant", ""))
        command = [sys.executable, "-m", f"consumption.{contender}", *order.arguments()]
        environment = os.environ | {LOOPS_VARIABLE: str(self._loops), "PYTHONPATH": os.pathsep.join(_path())}
        with tempfile.TemporaryFile() as log:
            processes = [
                subprocess.Popen(command, env=environment, stderr=log) for _ in range(int(more.get("processes", "1")))
            ]
            try:
                self._wait(name, messages, processes)
                for process in processes:
                    _stop(process)
            except FoulError as foul:
                log.seek(0)
                raise FoulError(f"{foul}; {log.read()[-2000:].decode(errors='replace')}") from None
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
        race = self._judge(name, messages)
        position = self._cluster.look(time.time(), [source], [name]).progress(name, source)
        if position != messages:
            raise FoulError(f"{contender} {order.variant}: committed {position} of {messages} messages")
        return race

    def _wait(self, target: str, messages: int, processes: list[subprocess.Popen[bytes]]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while (arrived := self._cluster.look(time.time(), [target], []).end(target) or 0) < messages:
            if any(process.poll() is not None for process in processes):
                raise FoulError(f"{target} ended with {arrived} of {messages} messages")
            if time.monotonic() > deadline:
                raise FoulError(f"{target} has {arrived} of {messages} messages after {DEADLINE_S} s")
            time.sleep(0.1)

    def _judge(self, target: str, messages: int) -> Race:
        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": target, "enable.auto.commit": False,
             "enable.partition.eof": True}
        )  # fmt: skip
        consumer.assign([TopicPartition(target, 0, 0)])
        latest: defaultdict[bytes, int] = defaultdict(lambda: -1)
        seen: set[bytes] = set()
        first_ms = last_ms = mixed_up = count = 0
        ended = False
        while not ended:
            for record in consumer.consume(10_000, 1):
                error = record.error()
                if error is not None:
                    ended = error.code() == KafkaError._PARTITION_EOF
                    continue
                value = (record.value() or b"").rstrip()
                key, _, number = value.partition(b"-")
                mixed_up += int(number) < latest[key]
                latest[key] = max(latest[key], int(number))
                seen.add(value)
                last_ms = record.timestamp()[1]
                first_ms = first_ms or last_ms
                count += 1
        consumer.close()
        if len(seen) != messages or count != messages:
            raise FoulError(f"{target}: {count} outputs for {len(seen)} of {messages} messages")
        return Race(messages, (last_ms - first_ms) / 1000, mixed_up)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end until it does: an event loop that is flooded can miss a signal."""
    for _ in range(10):
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            continue
        return
    raise FoulError("a contender does not end when it is asked to")


def _path() -> list[str]:
    return [str(Path(__file__).parents[1]), *(entry for entry in sys.path if entry)]

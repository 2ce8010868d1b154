"""What the proofs on a real broker share: a stage that signs its outputs, lasting load, and how outputs are judged."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.cimpl import NewPartitions

from fogverse.commits import EVERY
from lab.broker import LocalBroker
from tests.integration.test_runtime_broker import Pipeline, until

SIGNED = """
import os
import random
import time

from fogverse import Output

MEAN_S = float(os.environ.get("STAGE_MEAN_MS", "4")) / 1000

def passes(message):
    return message

def signed(message):
    "Takes a random time, and signs its output with its process and the place of the message."
    time.sleep(random.random() * 2 * MEAN_S)
    life = os.environ["STAGE_LIFE"].encode()
    return Output(message.value, message.key, (("life", life), ("place", message.place.encode())))
"""
IN_FLIGHT = 50
#: What docs/runtime.md promises: a crash repeats at most what is under way, what is finished and not asked to be
#: committed, and what is asked for and not answered, each at most ``max_in_flight``.
REPEATED = 3 * IN_FLIGHT
assert IN_FLIGHT < EVERY, "or the commits come less often than the promise says"


@dataclass(frozen=True)
class Signed:
    """One output: key and number of the message, the life of the instance it comes from, and the message's place."""

    key: str
    number: int
    life: int
    place: str

    @property
    def name(self) -> str:
        return f"{self.key}-{self.number}"


class Proof(Pipeline):
    """A pipeline of messages named KEY-NUMBER, NUMBER rising by key from 0, each key in one partition."""

    def __init__(self, broker: LocalBroker, folder: Path) -> None:
        super().__init__(broker, folder)
        with (folder / "stages.py").open("a") as stages:
            stages.write(SIGNED)
        self._lives = count()

    def grow(self, topic: str, total: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(10)
        until(lambda: len(self.admin.list_topics(topic).topics[topic].partitions) == total)

    def create_partitions(self, total: int) -> None:
        """All topics, the source with so many partitions."""
        self.create_all()
        if total > 1:
            self.grow(self.source, total)

    def put_keyed(self, total: int, keys: int = 10, partitions: int = 1) -> set[str]:
        producer = self.producer()
        names = [f"{n % keys}-{n // keys}" for n in range(total)]
        for name in names:
            key = name.partition("-")[0]
            producer.produce(self.source, name, key, int(key) % partitions)
        assert producer.flush(10) == 0
        return set(names)

    def life(self) -> dict[str, str]:
        """Variables of an instance that is started now: how its outputs are signed."""
        return {"STAGE_LIFE": str(next(self._lives))}

    def signed(self, topic: str | None = None) -> list[Signed]:
        """All outputs, in the order of their topic, which has one partition."""
        found = []
        for record in self.records(topic or self.target):
            signature = dict(record.headers() or [])
            key, _, number = (record.value() or b"").decode().partition("-")
            life, place = signature["life"] or b"", signature["place"] or b""
            found.append(Signed(key, int(number), int(life), place.decode()))
        return found

    def ends(self, partitions: int) -> list[int]:
        """Messages in each partition of the source."""
        counts = [0] * partitions
        for record in self.records(self.source):
            counts[record.partition() or 0] += 1
        return counts

    def done(self, ends: list[int]) -> bool:
        """Whether all is committed; a partition without a message has no commit."""
        return all(at >= end for at, end in zip(self.committed(len(ends)), ends, strict=True) if end)

    def owned(self) -> dict[str, int]:
        """Partitions by member, as the broker knows it."""
        group = self.admin.describe_consumer_groups([self.name])[self.name].result(10)
        return {m.client_id: len(m.assignment.topic_partitions if m.assignment else ()) for m in group.members}


def workers(ordering: str, **more: str) -> dict[str, str]:
    return {"FOGVERSE_WORKERS": "4", "FOGVERSE_ORDERING": ordering, "FOGVERSE_MAX_IN_FLIGHT": str(IN_FLIGHT)} | more


def in_order(outputs: list[Signed]) -> None:
    """The order of a key: what comes out for the first time comes as it went in, and an instance never goes back.

    Repeats are those of another instance, which began at or before the place where those before it had ended.
    """
    reached: dict[str, int] = defaultdict(lambda: -1)
    latest: dict[tuple[str, int], int] = defaultdict(lambda: -1)
    for output in outputs:
        key, number, life = output.key, output.number, output.life
        assert number <= reached[key] + 1, f"{output} comes before what follows {reached[key]}"
        assert number > latest[key, life], f"{output} comes after {latest[key, life]} from the same instance"
        latest[key, life] = number
        reached[key] = max(reached[key], number)


def repeated(outputs: list[Signed]) -> Counter[int]:
    """How many outputs of each life were produced again by a later one; none is twice by the same."""
    latest: dict[str, set[int]] = defaultdict(set)
    again: Counter[int] = Counter()
    for output in outputs:
        lives = latest[output.name]
        assert output.life not in lives, f"{output} was produced twice by the same instance"
        again.update(lives)
        lives.add(output.life)
    return again


class Load:
    """Messages that go on coming, ``per_s`` of them each second over ``keys`` keys, until it is left.

    They go to the first ``partitions``, or to the one partition ``only``.
    """

    def __init__(
        self, producer: Producer, topic: str, per_s: int, keys: int, partitions: int = 1, only: int | None = None
    ) -> None:
        self._only = only
        self._topic = topic
        self._per_s = per_s
        self._keys = keys
        self._partitions = partitions
        self._producer = producer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go)
        self.names: list[str] = []

    @contextmanager
    def going(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()
        assert self._producer.flush(10) == 0

    def _go(self) -> None:
        began = time.monotonic()
        while not self._over.wait(0.02):
            for n in range(len(self.names), int((time.monotonic() - began) * self._per_s)):
                name = f"{n % self._keys}-{n // self._keys}"
                partition = n % self._keys % self._partitions if self._only is None else self._only
                self._producer.produce(self._topic, name, str(n % self._keys), partition)
                self.names.append(name)
            self._producer.poll(0)

"""What exactly-once costs: throughput, delay and memory of transactions against at-least-once.

    python benchmarks/exactly_once.py [--json FILE]

Named alternative, from the same run: the same instance without ``FOGVERSE_EXACTLY_ONCE``. A callable that does nothing
passes 100-byte messages on, so the figures are the machinery's worst case: work that takes time hides it. Each instance
is a process of its own; rounds alternate, medians are printed. Throughput counts from the first committed message to
the last; the delay is from producing a message to a read-committed consumer having its output, with nothing else going
on; memory is that of an instance that is a member and has nothing to do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from lab import jars
from lab.broker import LocalBroker
from lab.ports import free_port

MESSAGES = 100_000
ROUNDS = 3
PROBES = 20
PROMISES = {"at_least_once": "false", "exactly_once": "true"}
STAGE = "def same(message):\n    return message.value\n"


class Bench:
    """Topics of one measurement, and an instance that works on them."""

    def __init__(self, bootstrap: str, folder: Path, workers: int, promise: str) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.name = uuid.uuid4().hex[:8]
        self.variables = {"FOGVERSE_WORKERS": str(workers), "FOGVERSE_EXACTLY_ONCE": PROMISES[promise]}
        topics = [NewTopic(f"{self.name}.{end}", 1, 1) for end in ("in", "out")]
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for made in admin.create_topics(topics).values():
            made.result(10)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The instance, ended afterwards."""
        environ = {
            "PYTHONPATH": f"{self.folder}:{os.environ.get('PYTHONPATH', '')}",
            "FOGVERSE_BOOTSTRAP_SERVERS": self.bootstrap,
            "FOGVERSE_SOURCE_TOPIC": f"{self.name}.in",
            "FOGVERSE_TARGET_TOPIC": f"{self.name}.out",
            "FOGVERSE_GROUP_ID": self.name,
            "FOGVERSE_LOG_LEVEL": "error",
        }
        command = [sys.executable, "-m", "fogverse", "run", "stage:same"]
        process = subprocess.Popen(command, env=os.environ | environ | self.variables)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def consumer(self) -> Consumer:
        """A reader of committed outputs."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": uuid.uuid4().hex, "fetch.wait.max.ms": 5})
        consumer.assign([TopicPartition(f"{self.name}.out", 0, 0)])
        return consumer

    def throughput(self) -> float:
        """Messages per second that come out."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for number in range(MESSAGES):
            producer.produce(f"{self.name}.in", bytes(100))
            if number % 10_000 == 0:
                producer.flush()
        producer.flush()
        consumer = self.consumer()
        with self.running():
            seen = 0
            while not seen:
                seen = len(consumer.consume(10_000, 0.05))
            first, since = seen, time.monotonic()
            while seen < MESSAGES:
                seen += len(consumer.consume(10_000, 0.05))
            elapsed = time.monotonic() - since
        consumer.close()
        return (MESSAGES - first) / elapsed

    def idle(self) -> tuple[float, float]:
        """Seconds from a message to its output; megabytes of memory."""
        producer, consumer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0}), self.consumer()
        delays = []
        with self.running() as process:
            for _ in range(PROBES):
                began = time.monotonic()
                producer.produce(f"{self.name}.in", b"x")
                producer.flush()
                while consumer.poll(1) is None:
                    pass
                delays.append(time.monotonic() - began)
            pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
        consumer.close()
        return statistics.median(delays), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(bootstrap: str, folder: Path) -> dict[str, float]:
    """All figures, by name."""
    found: dict[str, float] = {}
    for workers, name in ((1, "one_worker"), (4, "four_workers")):
        rates: dict[str, list[float]] = {promise: [] for promise in PROMISES}
        for _ in range(ROUNDS):
            for promise in PROMISES:
                rates[promise].append(Bench(bootstrap, folder, workers, promise).throughput())
        for promise in PROMISES:
            found[f"{name}_{promise}_per_s"] = statistics.median(rates[promise])
        found[f"{name}_ratio"] = found[f"{name}_exactly_once_per_s"] / found[f"{name}_at_least_once_per_s"]
    for promise in PROMISES:
        delay_s, rss_mb = Bench(bootstrap, folder, 1, promise).idle()
        found |= {f"{promise}_delay_ms": delay_s * 1000, f"{promise}_idle_rss_mb": rss_mb}
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "stage.py").write_text(STAGE, encoding="utf-8")
        broker = LocalBroker(folder / "kafka", jars.collect(Path(".lab/jars")), port=free_port())
        try:
            broker.up()
            found = measure(broker.bootstrap, folder)
        finally:
            broker.purge()
    for name, value in found.items():
        print(f"{name:32} {value:12.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

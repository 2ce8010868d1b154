"""Reports per second that the master takes in on one core, and the cost of one decision tick.

    python benchmarks/observer_load.py [--json FILE]

Named alternative, from the same run: the seed's way, written down in :class:`SeedWay`: one report per processed
message, a pydantic model each, a Python list of counts per topic, mean and deviation by summing those lists. Both read
as many reports from a real broker through the same client, pinned to one core; the broker has the other. Medians of
several rounds.

Two ratios are printed, since the reports differ: per report (one of ours has five times the fields), and ``vs_seed``,
for the same traffic: what of a core the seed's reports about it cost, over what ours cost, when an instance finishes
:data:`MESSAGES` messages a second. Below some two messages a second and instance the seed's way is the cheaper one.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Producer
from kafka import KafkaConsumer, TopicPartition
from pydantic import BaseModel

from lab import jars
from lab.broker import LocalBroker
from lab.ports import free_port
from orchestrator.broker.cluster import Cluster
from orchestrator.core import features
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Memory
from orchestrator.core.ratio import RatioRule, decide
from orchestrator.core.service import Service
from orchestrator.core.tally import Tally
from orchestrator.core.window import Signal, Window
from orchestrator.sight import count_reports

SERVICES = 100
WINDOW_S = 300
REFRESH_S = 60
REPORTS = 60_000
ROUNDS = 5
#: Messages that an instance finishes in the second that one report of ours is about.
MESSAGES = 120
RULE = RatioRule(threshold=0.8, z_value=3, refresh_s=REFRESH_S, deploy_delay_s=60, heartbeat_delay_s=120)


class NodeHeartBeat(BaseModel):
    """The seed's report: messages sent to a topic since the last one; one per processed message."""

    target_topic: str
    timestamp: float
    total_messages: int


class SeedWay:
    """The seed's StatisticWorker and InputOutputRatioWorker: a dictionary of counts and a list per topic."""

    def __init__(self) -> None:
        self.current: dict[str, int] = {}
        self.observed: dict[str, list[int]] = {}

    def take(self, raw: bytes) -> None:
        """One report."""
        report = NodeHeartBeat.model_validate_json(raw)
        self.current[report.target_topic] = self.current.get(report.target_topic, 0) + report.total_messages

    def second(self) -> None:
        """Once a second: every topic's count moves to its list."""
        for topic, count in self.current.items():
            counts = self.observed.setdefault(topic, [])
            if len(counts) >= WINDOW_S:
                counts.pop(0)
            counts.append(count)
            self.current[topic] = 0

    def analyse(self) -> list[float]:
        """Once a refresh interval: the z-score of every topic."""
        scores = []
        for counts in self.observed.values():
            mean = sum(counts) / len(counts)
            variance = functools.reduce(lambda total, count: total + (count - mean) ** 2, counts, 0.0) / len(counts)
            scores.append((counts[-1] - mean) / variance**0.5 if variance else 0.0)
        return scores


def our_report(n: int) -> bytes:
    """A report of ours, as an instance sends it."""
    of = n % SERVICES
    report = {
        "v": 1, "service": f"service-{of}", "instance": f"service-{of}@pi-{of}.1", "host": f"pi-{of}",
        "source_topic": f"in-{of}", "target_topic": f"out-{of}", "interval_s": 1.0, "consumed": MESSAGES,
        "emitted": MESSAGES, "failed": 0, "busy_s": 0.71, "workers": 1, "in_flight": 0,
        "lag_ms_p95": 14.2, "rss_mb": 28.1, "cpu": 0.31,
    }  # fmt: skip
    return json.dumps(report).encode()


def seed_report(n: int) -> bytes:
    """A report of the seed's."""
    return json.dumps({"target_topic": f"out-{n % SERVICES}", "timestamp": 1.7e9 + n, "total_messages": 1}).encode()


def produce(bootstrap: str, topic: str, make: Callable[[int], bytes]) -> None:
    """Fill a topic with reports."""
    producer = Producer({"bootstrap.servers": bootstrap, "queue.buffering.max.messages": REPORTS + 1})
    for n in range(REPORTS):
        producer.produce(topic, make(n))
    if producer.flush(60):
        sys.exit("the broker did not take the reports within 60 s")


def read_all(bootstrap: str, topic: str, take: Callable[[list[object]], None]) -> float:
    """Read the whole topic and hand over each batch; returns seconds from the first batch to the end."""
    consumer = KafkaConsumer(bootstrap_servers=[bootstrap], enable_auto_commit=False, max_poll_records=5_000)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    read, started, deadline = 0, 0.0, time.monotonic() + 120
    while read < REPORTS and time.monotonic() < deadline:
        batch = consumer.poll(timeout_ms=1_000).get(partition, [])
        started = started or time.perf_counter()
        take(batch)
        read += len(batch)
    consumer.close()
    if read < REPORTS:
        sys.exit(f"only {read} of {REPORTS} reports could be read within 120 s")
    return time.perf_counter() - started


def services() -> list[Service]:
    """The services that the reports are about."""
    return [
        Service(
            name=f"service-{n}", source_topic=f"in-{n}", target_topic=f"out-{n}", group_id=f"g-{n}", artifact="a",
            entrypoint="a:b", hosts="all", max_instances=3,
        )
        for n in range(SERVICES)
    ]  # fmt: skip


def ours_in(bootstrap: str) -> float:
    """Reports per second that our observer takes in: read, validated, summed up, put into the window."""
    window, start, known = Window(WINDOW_S), time.time(), services()

    def take(batch: list[object]) -> None:
        tally = Tally()
        for offset, record in enumerate(batch):
            tally.add(record.value, start + offset % WINDOW_S)  # type: ignore[attr-defined]
        count_reports(window, tally, known)

    return REPORTS / read_all(bootstrap, "ours", take)


def seed_in(bootstrap: str) -> float:
    """Reports per second that the seed's way takes in."""
    seed = SeedWay()

    def take(batch: list[object]) -> None:
        for record in batch:
            seed.take(record.value)  # type: ignore[attr-defined]
        seed.second()

    return REPORTS / read_all(bootstrap, "seeds", take)


def full_window() -> Window:
    """A window full of the signals of all services."""
    window = Window(WINDOW_S)
    for n in range(SERVICES):
        for second in range(WINDOW_S):
            window.add(Signal(features.ARRIVAL, f"in-{n}"), second, 100 + (second * n) % 7)
            window.add(Signal(features.REPORTED, f"service-{n}"), second, 60 + second % 5)
            window.add(Signal(features.COMMITTED, f"service-{n}"), second, 60)
    return window


def tick_ms() -> float:
    """Milliseconds of one tick in which every service is decided upon."""
    window = full_window()
    known = services()
    topics = {s.name: (s.source_topic, s.target_topic) for s in known}
    fleets = {s.name: ServiceFleet((Observed(Instance(s.name, "pi", 1), 0.5, True, (0,)),)) for s in known}
    started = time.perf_counter()
    seen = features.read(window, WINDOW_S, REFRESH_S, topics, {}, {})
    decisions = [decide(s, seen[s.name], fleets[s.name], Memory(), RULE, WINDOW_S) for s in known]
    elapsed = time.perf_counter() - started
    if {d.kind for d in decisions} != {"scale-out"}:
        sys.exit(f"the benchmark's traffic was not judged as meant: {decisions[0].reason}")
    return elapsed * 1000


def seed_tick_ms() -> float:
    """Milliseconds of the same by the seed's way: input and output topics of every service."""
    seed = SeedWay()
    for n in range(2 * SERVICES):
        seed.observed[f"topic-{n}"] = [100 + (second * n) % 7 for second in range(WINDOW_S)]
    started = time.perf_counter()
    seed.analyse()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="observer-load-"))
    port = free_port()
    broker = LocalBroker(folder, jars.collect(Path(".lab/jars")), port=port)
    broker.up()
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    try:
        cluster = Cluster({"bootstrap_servers": [broker.bootstrap]})
        for topic, make in (("ours", our_report), ("seeds", seed_report)):
            cluster.create(topic, 1)
            produce(broker.bootstrap, topic, make)
        cluster.close()
        rounds = [
            (ours_in(broker.bootstrap), seed_in(broker.bootstrap), tick_ms(), seed_tick_ms()) for _ in range(ROUNDS)
        ]
    finally:
        broker.down()
        broker.purge()
    ours, seeds, tick, seed_tick = (statistics.median(column) for column in zip(*rounds, strict=True))
    figures = {
        "reports_per_s": round(ours),
        "seed_reports_per_s": round(seeds),
        "per_report_vs_seed": round(ours / seeds, 2),
        "vs_seed": round(MESSAGES * ours / seeds, 1),
        "messages_per_report": MESSAGES,
        "tick_ms": round(tick, 1),
        "seed_tick_ms": round(seed_tick, 1),
    }
    print(f"reports taken in per second on one core:  ours {ours:,.0f}, seed {seeds:,.0f}: ratio {ours / seeds:.2f}")
    print(f"the same traffic, {MESSAGES} messages/s and instance: ratio {MESSAGES * ours / seeds:.1f}")
    print(f"one tick, {SERVICES} services x {WINDOW_S} s:  ours {tick:.1f} ms, seed {seed_tick:.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

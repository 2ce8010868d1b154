"""Seconds from the decision to the new instance's first message, on a warm device, and where they go.

    python benchmarks/time_to_scale.py [--rounds 10] [--json FILE]

Each round is a real scale-out: a first instance owns the topic's only partition, messages flow, and the master's own
transaction (probe, placement, Ansible, proof, growth) brings a second one onto a prepared device that is limited to a
quarter of a core. Named alternative, alternating with it in the same run: the floor, a raw ``ssh device sudo systemctl
start`` of the same unit, as sole member of its group, to its first message. Medians; needs root.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import yaml
from confluent_kafka import Producer
from kafka import KafkaAdminClient

from fogverse import Executor
from lab import base, jars
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.act.actuator import Actuator
from orchestrator.act.means import Means
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.step import Step
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.observer import Observer
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.clock import SystemClock
from orchestrator.core.ground import Ground
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement, Request, place
from orchestrator.core.quarantine import Quarantine
from orchestrator.core.service import Service
from orchestrator.project import PROJECT
from orchestrator.ssh.probe import probe

DEVICE, CPU_PERCENT = "pi-1", 25
#: What the parts are called, from the decision on, in order.
STAGES = (
    "placed",
    "ansible-started",
    "process-alive",
    "member",
    "partitions-grown",
    "partition-owned",
    "first-message",
)
WAIT_S = 60.0
T = TypeVar("T")


@contextmanager
def stage(folder: Path) -> Iterator[Context]:
    """A lab of one prepared device and a broker, and the inventory of it."""
    lab = Lab(folder / "lab", base.build(PROJECT / ".lab" / "base", print))
    lab.down()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    broker = lab.broker(jars.collect(PROJECT / ".lab" / "jars", print))
    try:
        lab.up(1, CPU_PERCENT)
        broker.up()
        inventory = folder / "inventory"
        write(inventory, lab)
        settings = {"fogverse_settings": {"proof_deadline": WAIT_S}}
        (inventory / "group_vars" / "all" / "settings.yml").write_text(yaml.safe_dump(settings, explicit_start=True))
        prepare(lab, inventory, folder / "site.log")
        with entered(lab.hub_netns):
            yield open_context(Options(inventory))
    finally:
        broker.down()
        lab.down()


class Bench:
    """The parts of a master, without its loop: a decision is made when a round begins."""

    def __init__(self, context: Context, ssh: list[str]) -> None:
        self.context = context
        self.service: Service = context.inventory.services[0]
        self.instance = Instance(self.service.name, DEVICE, 1)
        self.clock = SystemClock()
        self.book = ReportBook([self.service.name])
        self.actuator = Actuator(self.clock, context.settings.deploy_deadline)
        self.cluster = Cluster(context.admin_options())
        self.cluster.create(context.settings.observer_consumer_topic, 1, {"message.timestamp.type": "LogAppendTime"})
        self.observer = Observer(context.observer_options(), context.settings.observer_consumer_topic, "bench", 1)
        self.stop = threading.Event()
        self._ssh = ssh
        self._feeder = threading.Thread(target=self._feed, name="feeder")
        self.observer.start()
        self._feeder.start()
        self.actuator.start()

    def close(self) -> None:
        """End the threads."""
        self.stop.set()
        self._feeder.join()
        self.observer.close()
        self.cluster.close()
        self.actuator.close()

    def _feed(self) -> None:
        while not self.stop.wait(0.05):
            self.book.enter(self.observer.take())

    def scale_out(self) -> dict[str, float]:
        """One round; returns seconds from the decision to each stage."""
        with self.topics(), self.first_instance(), self.traffic():
            steps: list[Step] = []
            decided_at = time.time()
            started = ScaleOut(self.service, decided_at, self.means(steps)).run(1, self.placement)
            if not started:
                sys.exit(f"a scale-out failed: {[(step.name, step.detail) for step in steps]}")
            self._drain()
        parts = {step.name: step.at - decided_at for step in steps if step.name in STAGES}
        if missing := [name for name in STAGES if name not in parts]:
            sys.exit(f"a round did not go through {missing}: {[(step.name, step.detail) for step in steps]}")
        return parts

    def floor(self) -> float:
        """Seconds of a raw start over SSH, to the first message."""
        with self.topics(), self.traffic():
            self.book.forget(self.instance)
            began = time.time()
            subprocess.run([*self._ssh, "sudo", "systemctl", "start", self.instance.unit], check=True)
            at = _wait_for(lambda: self.book.progressed_at(self.instance), "the raw start's first message")
            self._drain()
        return at - began

    def placement(self, count: int) -> Placement:
        """Where the master would start so many; probes the device."""
        inventory, settings = self.context.inventory, self.context.settings
        probes = probe(inventory.connections.values(), inventory.known_hosts, settings.ssh_timeout)
        conditions = {name: found.condition for name, found in probes.items()}
        return place(Request(self.service.name, count), Ground(inventory.devices, conditions))

    def means(self, steps: list[Step]) -> Means:
        """What the master's transactions work with; their steps go into the list."""
        return Means(
            actuator=self.actuator,
            open_cluster=lambda: Cluster(self.context.admin_options()),
            reports=self.book,
            clock=self.clock,
            inventory=self.context.inventory.path,
            proof_deadline_s=self.context.settings.proof_deadline,
            retry_s=0,
            record=steps.append,
            failed=lambda device, reason: Quarantine(device, reason, until=0),
            worked=lambda _: None,
            reserve=lambda _: True,
            release=lambda _: None,
            progress=lambda _instances, _words: None,
            stop=self.stop,
        )

    @contextmanager
    def topics(self) -> Iterator[None]:
        """New topics of one partition, and a group without a past."""
        names = [name for name in (self.service.source_topic, self.service.target_topic) if name]
        for name in names:
            _wait_for(lambda name=name: self.cluster.create(name, 1), f"topic {name} to be creatable")
        try:
            yield
        finally:
            admin = KafkaAdminClient(**self.context.admin_options())
            admin.delete_topics(names)
            _wait_for(
                lambda: not admin.describe_groups([self.service.group_id])[self.service.group_id]["members"],
                "an empty group",
            )
            admin.delete_groups([self.service.group_id])
            admin.close()

    @contextmanager
    def first_instance(self) -> Iterator[None]:
        """The instance that is there already: the runtime itself, in a thread of this process."""
        executor = Executor(
            lambda _message: None,
            source_topic=self.service.source_topic,
            group_id=self.service.group_id,
            bootstrap_servers=",".join(self.context.inventory.kafka.bootstrap_servers),
            service=self.service.name,
            instance=f"{self.service.name}@bench.1",
            host="bench",
        )
        thread = threading.Thread(target=executor.run, name="first-instance")
        thread.start()
        try:
            _wait_for(
                lambda: self.cluster.groups([self.service.group_id])[self.service.group_id].members,
                "the first instance",
            )
            yield
        finally:
            executor.stop()
            thread.join()

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """A hundred messages a second, spread over all partitions."""
        done = threading.Event()
        servers = ",".join(self.context.inventory.kafka.bootstrap_servers)
        producer = Producer(
            {
                "bootstrap.servers": servers,
                "topic.metadata.refresh.interval.ms": 1000,
                "sticky.partitioning.linger.ms": 0,
            }
        )

        def send() -> None:
            number = 0
            while not done.wait(0.01):
                producer.produce(self.service.source_topic, json.dumps({"id": number, "text": "all quiet"}).encode())
                producer.poll(0)
                number += 1

        thread = threading.Thread(target=send, name="traffic")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            producer.purge()
            producer.flush(5)

    def _drain(self) -> None:
        subprocess.run(
            [*self._ssh, "sudo", "systemctl", "disable", "--now", self.instance.unit], check=True, capture_output=True
        )


def _wait_for(condition: Callable[[], T], what: str) -> T:
    end = time.monotonic() + WAIT_S
    while not (found := condition()):
        if time.monotonic() > end:
            sys.exit(f"waited {WAIT_S:g} s in vain for {what}")
        time.sleep(0.05)
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="scale-outs, at least 10 for a published figure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    arguments = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    folder = PROJECT / ".lab" / "time-to-scale"
    with stage(folder) as context:
        lab = Lab(folder / "lab", PROJECT)
        bench = Bench(context, lab.ssh_command(DEVICE))
        try:
            bench.floor()  # the first start of all fills the device's caches
            rounds, floors = [], []
            for number in range(1, arguments.rounds + 1):
                floors.append(bench.floor())
                rounds.append(bench.scale_out())
                print(f"round {number}: {rounds[-1]['first-message']:.2f} s, floor {floors[-1]:.2f} s", flush=True)
        finally:
            bench.close()
    report(rounds, floors, arguments.json)


def report(rounds: list[dict[str, float]], floors: list[float], file: Path | None) -> None:
    """Print the medians, and write them."""
    totals = [parts["first-message"] for parts in rounds]
    median, floor = statistics.median(totals), statistics.median(floors)
    print(f"decision to first message: median {median:.2f} s, maximum {max(totals):.2f} s, of {len(rounds)} scale-outs")
    print(f"floor (raw ssh systemctl start to first message): median {floor:.2f} s, maximum {max(floors):.2f} s")
    print(f"ratio to the floor: {median / floor:.2f}")
    print("reached after, median (and seconds since the stage before):")
    reached = {stage_name: statistics.median(parts[stage_name] for parts in rounds) for stage_name in STAGES}
    before = 0.0
    for name, seconds in reached.items():
        print(f"  {name:16} {seconds:6.2f} s  (+{seconds - before:.2f})")
        before = seconds
    if file:
        figures = {
            "ratio_to_floor": round(median / floor, 3),
            "median_s": round(median, 3),
            "max_s": round(max(totals), 3),
            "floor_s": round(floor, 3),
            "rounds": len(rounds),
            "parts": {name: round(seconds, 3) for name, seconds in reached.items()},
        }
        file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

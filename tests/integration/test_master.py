"""The master on real parts: simulated devices, Apache Kafka, Ansible over SSH.

The service under test sleeps 10 ms per message, so that one instance finishes about a hundred per second and an
overload costs this machine nothing.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer

from lab import processes
from lab.broker import LocalBroker
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.broker.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

PROJECT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
SETTINGS = {
    "input_output_refresh_rate": 3,
    "window_max_second": 30,
    "deploy_delay": 10,
    "heartbeat_deploy_delay": 7,  # two intervals: the first decision after a start must not look at the time before it
    "proof_deadline": 30,
    "ssh_timeout": 2,
    "quarantine": 20,
}
SLOW = "import time\n\n\ndef process(message):\n    time.sleep(0.01)\n    return message.value\n"
INSTANCE = r"slow@pi-\d\.1"


@dataclass
class Fleet:
    """A prepared lab, and the commands of a user on it."""

    lab: Lab
    broker: LocalBroker
    inventory: Path
    masters: list[subprocess.Popen[str]] = field(default_factory=list)

    def orchestrator(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAMS / "orchestrator"), "-i", str(self.inventory), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check, timeout=90, cwd=PROJECT)

    def playbook(self, name: str, *arguments: str, timeout_s: float = 120) -> str:
        command = [str(PROGRAMS / "ansible-playbook"), "-i", str(self.inventory), f"playbooks/{name}", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout_s, cwd=PROJECT,
            stdin=subprocess.DEVNULL,  # one of its own: Ansible refuses one that a container has made non-blocking
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return done.stdout

    def on(self, device: str, *command: str) -> str:
        done = subprocess.run(
            self.lab.ssh_command(device, *command), capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout

    def running(self) -> dict[str, str]:
        """MainPID of the unit on each device that runs it."""
        pids = {
            d.name: self.on(d.name, "systemctl show -p MainPID --value fogverse-slow@1").strip()
            for d in self.lab.devices()
        }
        return {name: pid for name, pid in pids.items() if pid not in ("", "0")}

    def cluster(self) -> Cluster:
        return Cluster({"bootstrap_servers": [self.lab.bootstrap]})

    def history(self) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in self.orchestrator("history", "--last", "5000", "--json").stdout.splitlines()
        ]


@dataclass
class RunningMaster:
    """`orchestrator run`, and its log as it is written."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()

    def wait_for(self, pattern: str, timeout_s: float = 60, after: int = 0) -> str:
        """The first log line from line ``after`` on that matches."""
        end = time.monotonic() + timeout_s
        with self.changed:
            while True:
                found = next((line for line in self.lines[after:] if re.search(pattern, line)), None)
                if found is not None:
                    return found
                left = end - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    pytest.fail(f"no line {pattern!r}; the log:\n" + "\n".join(self.lines[-40:]))
                self.changed.wait(min(left, 1.0))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@contextmanager
def raised(folder: Path, device_base: Path, jars: Path, devices: int, **changes: Any) -> Iterator[Fleet]:
    """Devices prepared for the slow service, with these changes to it."""
    lab = Lab(folder / "lab", device_base)
    broker = lab.broker(jars)
    artifact = folder / "artifact"
    artifact.mkdir()
    (artifact / "slow.py").write_text(SLOW)
    service = {
        "source_topic": "in", "target_topic": "out", "group_id": "slow", "artifact": str(artifact),
        "entrypoint": "slow:process", "hosts": "fog", "min_instances": 1, "max_instances": 3,
        "policy": {"name": "ratio"}, **changes,
    }  # fmt: skip
    inventory = folder / "inventory"
    try:
        lab.up(devices, None)
        broker.up()
        write(inventory, lab)
        group_vars = inventory / "group_vars" / "all"
        (group_vars / "services.yml").write_text(yaml.safe_dump({"fogverse_services": {"slow": service}}))
        (group_vars / "settings.yml").write_text(yaml.safe_dump({"fogverse_settings": SETTINGS}))
        prepare(lab, inventory, folder / "site.log")
        yield Fleet(lab, broker, inventory)
    finally:
        broker.down()
        lab.down()


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three of them."""
    with raised(tmp_path_factory.mktemp("fleet"), device_base, jars, 3) as fleet:
        yield fleet


@pytest.fixture(autouse=True)
def clean(fleet: Fleet) -> Iterator[None]:
    """Each test begins without instances, topics and history, on devices that work."""
    yield
    for master in fleet.masters:
        if master.poll() is None:
            master.kill()
        master.wait()
    fleet.masters.clear()
    fleet.broker.up()
    for device in fleet.lab.devices():
        if device.state == "frozen":
            fleet.lab.thaw(device.name)
        if device.state == "off":
            fleet.lab.power_on(device.name)
        fleet.on(device.name, "sudo systemctl disable --now fogverse-slow@1 2>/dev/null")
    fleet.broker.down()
    fleet.broker.purge()
    fleet.broker.up()


def left_by_masters(fleet: Fleet) -> list[str]:
    """Processes of Ansible, shared SSH connections included, and files that masters of this fleet have left behind."""
    place = f"{fleet.lab.control_path}/fogverse-ansible"
    left = [" ".join(line) for line in processes.running().values() if place in " ".join(line)]
    return left + [str(path) for path in fleet.lab.control_path.glob("fogverse-*")]


@contextmanager
def master(fleet: Fleet, *options: str) -> Iterator[RunningMaster]:
    """A running master, with options of the command before ``run``, ended by SIGTERM unless the test has ended it."""
    fleet.lab.control_path.mkdir(mode=0o700, exist_ok=True)
    process = subprocess.Popen(
        [str(PROGRAMS / "orchestrator"), "-i", str(fleet.inventory), *options, "run"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(fleet.lab.control_path)},
    )  # fmt: skip
    fleet.masters.append(process)
    running = RunningMaster(process)
    reader = threading.Thread(target=running.read)
    reader.start()
    try:
        yield running
        if process.poll() is None:
            assert running.stop() == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()


@contextmanager
def traffic(fleet: Fleet, rate: float) -> Iterator[Callable[[], int]]:
    """Messages at a rate, spread over all partitions; the callable tells how many were acknowledged."""
    done, acknowledged = threading.Event(), [0]

    def delivered(error: object, _message: object) -> None:
        acknowledged[0] += error is None

    def send() -> None:
        with entered(fleet.lab.hub_netns):
            producer = Producer(
                {"bootstrap.servers": fleet.lab.bootstrap, "topic.metadata.refresh.interval.ms": 1000,
                 "sticky.partitioning.linger.ms": 0, "log_level": 2}
            )  # fmt: skip
            number, began = 0, time.monotonic()
            while not done.wait(0.02):
                while number < (time.monotonic() - began) * rate:
                    producer.produce("in", str(number).encode(), on_delivery=delivered)
                    number += 1
                producer.poll(0)
            producer.flush(10)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield lambda: acknowledged[0]
    finally:
        done.set()
        thread.join()


def test_the_first_instance_is_started_and_a_second_master_goes_on_with_it(fleet: Fleet) -> None:
    """Lost otherwise: services that nobody starts, or instances started twice by every restart of the master."""
    with master(fleet) as first:
        assert "0 of at least 1 instances" in first.wait_for("below-minimum")
        first.wait_for(rf"proved: {INSTANCE}")
    before = fleet.running()
    assert len(before) == 1
    with master(fleet) as second:
        second.wait_for(rf"{INSTANCE} runs already")
        second.wait_for("idle: no input on in")
        second.wait_for("idle: no input on in", after=len(second.lines))
    assert fleet.running() == before
    kinds = [entry["body"].get("name") or entry["body"].get("kind") for entry in fleet.history()]
    assert kinds.count("placed") == 1


def test_an_overload_starts_one_more_and_gives_it_a_partition(fleet: Fleet) -> None:
    """Lost otherwise: the mission."""
    with master(fleet) as running, traffic(fleet, 30) as _:
        running.wait_for(rf"proved: {INSTANCE}")
        running.wait_for("keeping-up")
        with traffic(fleet, 115):
            running.wait_for("scale-out: .* below 0.8; one more than 1")
            running.wait_for(r"partitions-grown: in: 1 -> 2")
            running.wait_for(r"first-message: .* has finished a message")
            running.wait_for("keeping-up", after=len(running.lines))
            status = json.loads(fleet.orchestrator("status", "--json").stdout)
    [service] = status["services"]
    assert service["partitions"] == 2
    assert sorted(p for i in service["instances"] for p in i["partitions"]) == [0, 1]
    proved = [e["body"] for e in fleet.history() if e["kind"] == "step" and e["body"]["name"] == "proved"]
    assert {"placed", "ansible-started", "process-alive", "member", "partitions-grown", "first-message"} <= set(
        proved[-1]["numbers"]
    )


def test_a_device_that_fails_is_named_and_the_next_one_is_tried_within_the_decision(fleet: Fleet) -> None:
    """Lost otherwise: a fleet that stops growing at its first bad card; partitions grown for a dead process."""
    fleet.on("pi-1", "sudo chmod 000 /opt/fogverse/venv/bin/fogverse")
    fleet.lab.power_off("pi-2")
    try:
        with master(fleet) as running:
            running.wait_for(r"pi-2 does not answer: .*(timed out|no route|refused)")
            running.wait_for(r"failed: slow@pi-1\.1 .*(203|Permission denied|EXEC|cannot)")
            running.wait_for(r"quarantined: slow@pi-1\.1")
            running.wait_for(r"proved: slow@pi-3\.1")
            assert sum("below-minimum" in line for line in running.lines) == 1
    finally:
        fleet.lab.power_on("pi-2")
        fleet.on("pi-1", "sudo chmod 755 /opt/fogverse/venv/bin/fogverse")
    with entered(fleet.lab.hub_netns):
        cluster = fleet.cluster()
        assert cluster.partitions(["in"]) == {"in": (0,)}
        cluster.close()


def test_a_device_that_hangs_in_ssh_is_left_out_in_time(fleet: Fleet) -> None:
    """Lost otherwise: a master that hangs with its device."""
    fleet.lab.freeze("pi-1")
    with master(fleet) as running:
        assert "timed out" in running.wait_for("pi-1 does not answer", timeout_s=40)
        running.wait_for(r"proved: slow@pi-[23]\.1")


def test_an_instance_started_by_hand_is_adopted_and_given_a_partition(fleet: Fleet) -> None:
    """Lost otherwise: operators who deploy with plain Ansible."""
    with master(fleet) as running:
        running.wait_for(r"proved: slow@pi-1\.1")
        fleet.playbook("deploy.yml", "-e", "service=slow", "-l", "pi-3")
        running.wait_for(r"adopted: slow@pi-3\.1")
        running.wait_for("partitions-grown: in: 1 -> 2")
        planned = json.loads(fleet.orchestrator("plan", "--json").stdout)
    assert planned[0]["decision"]["current"] == 2


def test_rubbish_on_the_observer_topic_is_counted_and_harmless(fleet: Fleet) -> None:
    """Lost otherwise: the loop, to anyone who can write to the topic."""
    with master(fleet) as running:
        running.wait_for(rf"proved: {INSTANCE}")
        with entered(fleet.lab.hub_netns):
            producer = Producer({"bootstrap.servers": fleet.lab.bootstrap})
        for raw in (b"", b"{", b"\xff", b'{"v":1}', b'{"v":1,"consumed":1e999}', b"x" * 100_000, None):
            producer.produce("observer", raw)
        producer.produce("observer", b'{"target_topic":"out","timestamp":1.5,"total_messages":3}')
        producer.produce(
            "observer", b'{"source_topic":"a","target_topic":"b","deploy_configs":{"provider":"rm -rf /"}}'
        )
        assert producer.flush(10) == 0
        running.wait_for("7 observer messages refused")
        running.wait_for("announced the pair a -> b")
        running.wait_for("idle", after=len(running.lines))
        counted = json.loads(fleet.orchestrator("observer", "--json").stdout)
    assert counted["rejected"] == 7
    assert (counted["accepted"]["throughput"], counted["accepted"]["pair"]) == (1, 1)
    assert "100000 bytes" in str(counted["samples"])


def test_nothing_is_decided_while_the_broker_is_away_and_the_loop_goes_on(fleet: Fleet) -> None:
    """Lost otherwise: a fleet scaled on missing data, or a master that dies with its broker."""
    with master(fleet) as running:
        running.wait_for(rf"proved: {INSTANCE}")
        fleet.broker.down()
        running.wait_for("nothing is decided until the broker answers again")
        first = len(running.lines)
        running.wait_for("unknown: ", after=first)
        running.wait_for("unknown: ", after=len(running.lines))
        fleet.broker.up()
        running.wait_for("the broker answers again after")
        back = len(running.lines)
        running.wait_for("idle: ", after=back)
        assert not [line for line in running.lines[first:] if "placed" in line or "below-minimum" in line]
    unknown = [e for e in fleet.history() if e["kind"] == "decision" and e["body"]["kind"] == "unknown"]
    assert unknown, "decisions made while the broker was away are written when it is back"


def test_sigterm_during_a_deployment_ends_cleanly_and_the_next_start_finds_out(fleet: Fleet) -> None:
    """Lost otherwise: orphaned Ansible processes, and instances that nobody knows of."""
    with master(fleet) as first:
        first.wait_for("ansible-started")
        began = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - began < 25
    assert left_by_masters(fleet) == []
    with master(fleet) as second:
        second.wait_for(r"proved: |idle: ")
    assert len(fleet.running()) == 1
    assert left_by_masters(fleet) == []


def test_a_master_that_is_killed_leaves_no_ssh_connection_and_no_process(fleet: Fleet) -> None:
    """Lost otherwise: a process for each device and each crash, which later masters stumble over."""
    with master(fleet) as first:
        first.wait_for(rf"proved: {INSTANCE}")
        assert any("[mux]" in line for line in left_by_masters(fleet)), "a connection waits for the next decision"
        first.process.kill()
        first.process.wait()
        end = time.monotonic() + 20
        while left_by_masters(fleet):
            assert time.monotonic() < end, left_by_masters(fleet)
            time.sleep(0.2)

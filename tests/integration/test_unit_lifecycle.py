"""The unit on a simulated device: systemd waits for membership, restarts what is wedged, and lets work what is slow."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer
from kafka import KafkaAdminClient

from lab.broker import LocalBroker
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.broker.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

UNIT = "fogverse-odd@1.service"
#: Seconds without a sign of life until systemd acts.
WATCHDOG_S = 6
#: Seconds that its code may take to be imported.
START_S = 10
STAGE = """
import re
import time

def process(message):
    if message.value == b"slow":
        time.sleep(20)
    if message.value == b"wedge":
        re.match("(a+)+$", "a" * 64 + "b")  # keeps Python's lock, and takes longer than anybody lives
    return message.value
"""


@dataclass
class Device:
    """One prepared device, and what systemd says there."""

    lab: Lab
    broker: LocalBroker
    since: float = 0.0

    def run(self, *command: str, check: bool = True) -> str:
        return subprocess.run(
            self.lab.ssh_command("pi-1", *command), capture_output=True, text=True, check=check, timeout=120
        ).stdout.strip()

    def show(self, name: str) -> str:
        return self.run("systemctl", "show", "--value", "--property", name, UNIT)

    def until(self, name: str, wanted: Callable[[str], bool], within_s: float = 60) -> str:
        deadline = time.monotonic() + within_s
        while not wanted(found := self.show(name)):
            assert time.monotonic() < deadline, f"{name} is {found}: {self.run('sudo journalctl -n 30 -o cat')}"
            time.sleep(0.2)
        return found

    def log(self) -> str:
        """What the unit has logged in this test."""
        return self.run(f"sudo journalctl --sync; sudo journalctl -o cat -u {UNIT} --since @{self.since:.3f}")

    def members(self) -> list[str]:
        with entered(self.lab.hub_netns):
            cluster = Cluster({"bootstrap_servers": [self.lab.bootstrap]})
            try:
                return [member.client_id for member in cluster.groups(["odd"])["odd"].members]
            finally:
                cluster.close()

    def until_empty(self, within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while members := self.members():
            assert time.monotonic() < deadline, f"still members: {members}"
            time.sleep(0.2)

    def make(self, topic: str) -> None:
        with entered(self.lab.hub_netns):
            cluster = Cluster({"bootstrap_servers": [self.lab.bootstrap]})
            try:
                cluster.create(topic, 1)
            finally:
                cluster.close()

    def forget(self) -> None:
        """Delete topics and group."""
        with entered(self.lab.hub_netns):
            admin = KafkaAdminClient(bootstrap_servers=self.lab.bootstrap)
            try:
                admin.delete_topics([topic for topic in ("in", "out") if topic in admin.list_topics()])
                if admin.describe_groups(["odd"])["odd"]["group_state"] == "Empty":
                    admin.delete_groups(["odd"])
            finally:
                admin.close()

    def send(self, value: str) -> None:
        with entered(self.lab.hub_netns):
            producer = Producer({"bootstrap.servers": self.lab.bootstrap})
            producer.produce("in", value)
            assert producer.flush(10) == 0


@pytest.fixture(scope="module")
def device(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    folder = tmp_path_factory.mktemp("unit")
    lab = Lab(folder / "lab", device_base)
    broker = lab.broker(jars)
    (folder / "artifact").mkdir()
    (folder / "artifact" / "odd.py").write_text(STAGE)
    service = {
        "source_topic": "in", "target_topic": "out", "group_id": "odd", "artifact": str(folder / "artifact"),
        "entrypoint": "odd:process", "hosts": "fog", "min_instances": 0, "max_instances": 1,
    }  # fmt: skip
    inventory = folder / "inventory"
    try:
        lab.up(1, None)
        broker.up()
        write(inventory, lab)
        variables = {
            "fogverse_consumer_watchdog": WATCHDOG_S,
            "fogverse_consumer_restart_delay": 1,
            "fogverse_consumer_start_timeout": START_S,
        }
        all_hosts = inventory / "group_vars" / "all"
        (all_hosts / "services.yml").write_text(yaml.safe_dump({"fogverse_services": {"odd": service}} | variables))
        prepare(lab, inventory, folder / "site.log")
        yield Device(lab, broker)
    finally:
        broker.down()
        lab.down()


@pytest.fixture(autouse=True)
def stopped(device: Device) -> Iterator[None]:
    """Each test begins without an instance; what one has left unprocessed is gone with its topics."""
    device.since = time.time()
    yield
    device.run("sudo", "systemctl", "kill", "--signal=SIGCONT", UNIT, check=False)
    device.run("sudo", "systemctl", "stop", UNIT)
    device.run("sudo", "systemctl", "reset-failed", UNIT, check=False)
    device.forget()


def test_a_start_returns_when_the_instance_is_a_member(device: Device) -> None:
    """Else whatever is ordered after it, or a person, goes on before anything is consumed."""
    returned = threading.Event()

    def start() -> None:
        device.run("sudo", "systemctl", "start", UNIT)
        returned.set()

    thread = threading.Thread(target=start)
    thread.start()
    try:
        device.until("StatusText", lambda text: text == "joining group odd")
        assert device.show("ActiveState") == "activating"
        assert not returned.wait(START_S + 2), (
            "joining has a time of its own, and there is no topic yet, so it cannot be a member"
        )
        warnings = device.run(f"sudo journalctl --sync; sudo journalctl -o cat -p warning -u {UNIT}")
        assert "source topic in does not exist (yet)" in warnings, "the journal knows its priority"
        assert "group odd, release" not in warnings
        device.make("in")
        device.make("out")
        assert returned.wait(30)
        assert device.members() == ["odd@pi-1.1"]
    finally:
        thread.join()
    device.send("a")
    device.until("StatusText", lambda text: text.startswith("owns 1 partition, "))
    exposure = device.run("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]
    assert float(exposure.split(": ")[1].split()[0]) < 3, exposure


def test_a_stopped_process_is_started_again(device: Device) -> None:
    """It holds its partition, is alive for every process list, and does nothing."""
    device.make("in")
    device.make("out")
    device.run("sudo", "systemctl", "start", UNIT)
    device.run("sudo", "systemctl", "kill", "--signal=SIGSTOP", UNIT)
    device.until("NRestarts", lambda text: text == "1")
    device.until("ActiveState", lambda text: text == "active")
    assert "Watchdog timeout" in device.log()
    device.send("a")
    device.until("StatusText", lambda text: text.startswith("owns 1 partition, "))


def test_a_callable_that_keeps_the_lock_for_ever_is_started_again_and_its_place_told(device: Device) -> None:
    """Nothing in Python can interrupt it, and without the stack nobody would know where it hangs."""
    device.make("in")
    device.make("out")
    device.run("sudo", "systemctl", "start", UNIT)
    device.send("wedge")
    device.until("NRestarts", lambda text: int(text) >= 1)
    log = device.log()
    assert "Fatal Python error: Aborted" in log
    assert 'odd.py", line 9 in process' in log


def test_a_message_that_lasts_longer_than_the_watchdog_is_left_alone_and_so_is_its_drain(device: Device) -> None:
    """Killed, it would be repeated for ever."""
    device.make("in")
    device.make("out")
    device.run("sudo", "systemctl", "start", UNIT)
    device.send("slow")
    device.until("StatusText", lambda text: "1 in flight" in text)
    began = time.monotonic()
    time.sleep(WATCHDOG_S)
    device.run("sudo", "systemctl", "stop", UNIT)
    assert time.monotonic() - began > WATCHDOG_S * 1.5
    assert (device.show("Result"), device.show("ExecMainStatus"), device.show("NRestarts")) == ("success", "0", "0")
    log = device.log()
    assert "Watchdog timeout" not in log
    assert "left the group" in log


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.5])
def test_a_stop_right_after_a_start_is_clean(device: Device, after_s: float) -> None:
    """A drain in the midst of a scale-out must not look like a crash."""
    device.make("in")
    device.make("out")
    device.until_empty()  # what an earlier test has killed is a member until its session is over
    device.run(f"sudo systemctl start --no-block {UNIT}; sleep {after_s}; sudo systemctl stop {UNIT}")
    assert device.show("Result") == "success"
    assert device.show("ActiveState") == "inactive"
    assert device.members() == []


def test_an_instance_that_ends_itself_is_started_again(device: Device) -> None:
    """STOPPING=1 must not be taken for somebody's wish that it stays down."""
    device.run("sudo", "mkdir -p /run/systemd/system/fogverse-odd@1.service.d; printf "
               "'[Service]\\nEnvironment=FOGVERSE_TOPIC_TIMEOUT_S=1\\n' | sudo tee "
               "/run/systemd/system/fogverse-odd@1.service.d/short.conf; sudo systemctl daemon-reload")  # fmt: skip
    try:
        device.run("sudo", "systemctl", "start", UNIT, check=False)
        device.until("NRestarts", lambda text: int(text) >= 1)
        assert "does not exist after 1 s" in device.log()
    finally:
        device.run("sudo", "rm -r /run/systemd/system/fogverse-odd@1.service.d; sudo systemctl daemon-reload")

"""A run on simulated devices, recorded by `orchestrator record`, and what `orchestrator simulate` makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer

from lab.broker import LocalBroker
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare

pytestmark = [pytest.mark.lab, pytest.mark.alone, pytest.mark.timeout(420)]

PROJECT = Path(__file__).parents[2]
PROGRAM = [str(Path(sys.executable).parent / "orchestrator")]
#: The delays are no multiples of the interval: else a tenth of a second decides in which of two a start is allowed.
SETTINGS = {
    "input_output_refresh_rate": 5, "window_max_second": 60, "deploy_delay": 12, "heartbeat_deploy_delay": 9,
    "proof_deadline": 30,
}  # fmt: skip
SERVICE = {
    "source_topic": "in", "target_topic": "out", "group_id": "slow", "entrypoint": "slow:process", "hosts": "fog",
    "min_instances": 1, "max_instances": 3, "policy": {"name": "ratio"},
}  # fmt: skip
SLOW = "import time\n\n\ndef process(message):\n    time.sleep(0.01)\n    return message.value\n"
#: One instance manages 95/s: 30 % of it all, two 60 %, three 90 %. The rule's threshold of 80 % is far from each.
QUIET_PER_S, MORE_PER_S = 50, 270
QUIET_S, RECORD_S = 25, 110


@dataclass
class Stage:
    """A lab on which one instance runs, and its inventory."""

    lab: Lab
    inventory: Path
    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [*PROGRAM, "-i", str(self.inventory), *arguments]


@pytest.fixture
def stage(device_base: Path, jars: Path, tmp_path: Path) -> Iterator[Stage]:
    """Three devices and a broker, prepared for a service that finishes some 95 messages/s per instance."""
    lab = Lab(tmp_path / "lab", device_base)
    broker: LocalBroker = lab.broker(jars)
    inventory = tmp_path / "inventory"
    (artifact := tmp_path / "artifact").mkdir()
    (artifact / "slow.py").write_text(SLOW)
    try:
        lab.up(3, None)
        broker.up()
        write(inventory, lab)
        variables = inventory / "group_vars" / "all"
        services = {"slow": {**SERVICE, "artifact": str(artifact)}}
        (variables / "services.yml").write_text(yaml.safe_dump({"fogverse_services": services}))
        (variables / "settings.yml").write_text(yaml.safe_dump({"fogverse_settings": SETTINGS}))
        prepare(lab, inventory, tmp_path / "site.log")
        yield Stage(lab, inventory, tmp_path)
    finally:
        broker.down()
        lab.down()


@contextmanager
def master(stage: Stage) -> Iterator[None]:
    """A running master whose first instance has proved itself."""
    with subprocess.Popen(stage.command("run"), stderr=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        assert process.stderr is not None
        lines: list[str] = []
        proved = threading.Event()

        def read() -> None:
            for line in process.stderr or ():
                lines.append(line)
                if ": proved: " in line:
                    proved.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert proved.wait(60), "".join(lines[-30:])
            yield
        finally:
            process.terminate()
            process.wait(60)
            reader.join()


@contextmanager
def traffic(stage: Stage, rate: float) -> Iterator[None]:
    """So many messages a second, over all partitions."""
    done = threading.Event()

    def send() -> None:
        with entered(stage.lab.hub_netns):
            producer = Producer(
                {"bootstrap.servers": stage.lab.bootstrap, "topic.metadata.refresh.interval.ms": 1000,
                 "sticky.partitioning.linger.ms": 0, "log_level": 2}
            )  # fmt: skip
            number, began = 0, time.monotonic()
            while not done.wait(0.02):
                while number < (time.monotonic() - began) * rate:
                    producer.produce("in", str(number).encode())
                    number += 1
                producer.poll(0)
            producer.flush(10)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_recorded_run_and_its_simulation_agree(stage: Stage) -> None:
    """Lost otherwise: every answer of `simulate` to "what if", since it would not even say what was."""
    file = stage.folder / "run.jsonl"
    with ExitStack() as stack:
        stack.enter_context(traffic(stage, QUIET_PER_S))
        stack.enter_context(master(stage))
        recorder = stack.enter_context(
            subprocess.Popen(stage.command("record", "--for", f"{RECORD_S}s", str(file)), cwd=PROJECT)
        )
        with pytest.raises(subprocess.TimeoutExpired):
            recorder.wait(QUIET_S)
        stack.enter_context(traffic(stage, MORE_PER_S))
        assert recorder.wait(RECORD_S + 30) == 0
    done = subprocess.run([*PROGRAM, "simulate", str(file), "--json"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    recorded = said["recorded"]
    print(json.dumps({"recorded": recorded, "decisions": said["decisions"]}, indent=1))
    assert recorded["actions"] >= 2, "the overload must have started instances, or nothing is compared"
    assert said["measures"]["actions"] == pytest.approx(recorded["actions"], rel=0.1)
    assert recorded["simulated_lag_area"] == pytest.approx(recorded["lag_area"], rel=0.1)

"""`playbooks/upgrade.yml` on simulated devices: one by one, proved, undone where it fails, whole after a power cut."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer

from lab.broker import LocalBroker
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.broker.cluster import Cluster
from orchestrator.project import PROJECT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

UNIT = "fogverse-odd@1.service"
HOME = "/opt/fogverse/services/odd"
BOTH = ("pi-1", "pi-2")
BAD = {
    "cannot be imported": ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
    "fails on each message": ("def process(message):\n    raise ValueError('broken for good')\n", "broken for good"),
    "hangs": ("import time\n\ndef process(message):\n    time.sleep(600)\n", "0 done"),
}
#: Commands of the scripts that change something which lasts: after each of them the power may go.
STEPS = ("mv", "sync", "ln", "systemctl")
#: Stands before a command of the device: counts, and after a chosen step it says so and waits.
WRAPPER = """#!/bin/sh
real=$(PATH=/usr/bin:/bin command -v {name})
"$real" "$@"; code=$?
case "{name} $*" in *show*|*reset*|*list-units*|*is-enabled*) exit $code ;; esac
echo "{name} $*" >>/var/lib/steps
if [ "$(wc -l </var/lib/steps)" = "$(cat /var/lib/cut-at 2>/dev/null)" ]; then touch /var/lib/cut-now; sleep 600; fi
exit $code
"""


@dataclass
class Fleet:
    """Two prepared devices and the folder of the code that they are to run."""

    lab: Lab
    inventory: Path
    code: Path

    def run(self, host: str, command: str, *, check: bool = True) -> str:
        done = subprocess.run(
            self.lab.ssh_command(host, command), capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def playbook(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return subprocess.Popen(
            [program, "-i", str(self.inventory), f"playbooks/{name}.yml", "-e", "service=odd", *arguments],
            cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip

    def play(self, name: str, *arguments: str, code: int = 0) -> str:
        with self.playbook(name, *arguments) as run:
            output, _ = run.communicate(timeout=500)
        assert run.returncode == code, output
        return output

    def upgrade(self, *arguments: str, code: int = 0) -> tuple[dict[str, dict[str, Any]], str]:
        """What each host reported, in the order of the reports, and the whole output."""
        output = self.play("upgrade", *arguments, code=code)
        reports = {}
        for found in re.finditer(r"^ok: \[(pi-\d)\] => (?=\{\n +\"fogverse_upgraded\")", output, re.MULTILINE):
            reports[found[1]] = json.JSONDecoder().raw_decode(output, found.end())[0]["fogverse_upgraded"]
        return reports, output

    def write(self, code: str) -> None:
        (self.code / "odd.py").write_text(code)

    def good(self, name: str) -> None:
        """Let the code be a release of its own that works."""
        self.write(f"def process(message):\n    return b'{name}'\n")

    def running(self, host: str) -> dict[str, str]:
        """Release and settings of the process itself, and where it works; empty when none runs."""
        script = (
            f"pid=$(systemctl show -P MainPID {UNIT}); [ $pid != 0 ] || exit 0; echo pid=$pid; "
            "sudo cat /proc/$pid/environ | tr '\\0' '\\n' | grep -E '^FOGVERSE_(RELEASE|CONFIG)='; "
            "echo cwd=$(sudo readlink /proc/$pid/cwd); "
            "echo python=$(sudo cat /proc/$pid/cmdline | tr '\\0' '\\n' | head -n 1)"
        )
        return dict(line.split("=", 1) for line in self.run(host, script).splitlines())

    def runs_by(self, host: str, deadline: float) -> dict[str, str]:
        """What runs there, once something does."""
        while not (found := self.running(host)).get("FOGVERSE_RELEASE"):
            assert time.monotonic() < deadline, self.run(host, f"systemctl status {UNIT}", check=False)
            time.sleep(0.2)
        return found

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Messages on each partition all the time, so that what is new has something to do."""
        over = threading.Event()

        def send() -> None:
            with entered(self.lab.hub_netns):
                producer = Producer({"bootstrap.servers": self.lab.bootstrap})
                while not over.wait(0.5):
                    for partition in (0, 1):
                        producer.produce("in", b"x", partition=partition)
                producer.flush(10)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def wrapped(self) -> Iterator[Path]:
        """The commands of pi-1 note their steps in a folder, which is given; after the one in ``cut-at`` they wait."""
        folder = self.lab.root("pi-1") / "var/lib"
        try:
            for name in STEPS:
                script = WRAPPER.format(name=name)
                self.run("pi-1", f"sudo tee /usr/local/sbin/{name} >/dev/null <<'EOF'\n{script}EOF\n"
                                 f"sudo chmod 755 /usr/local/sbin/{name}")  # fmt: skip
            yield folder
        finally:
            self.run("pi-1", f"cd /usr/local/sbin && sudo rm -f {' '.join(STEPS)}")
            for name in ("cut-now", "cut-at", "steps"):
                (folder / name).unlink(missing_ok=True)


def reached(step: int, folder: Path, run: subprocess.Popen[str]) -> None:
    """Wait until pi-1 has come to that step."""
    deadline = time.monotonic() + 240
    while not (folder / "cut-now").exists():
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline, (step, (folder / "steps").read_text())
        time.sleep(0.05)


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("upgrade")
    lab = Lab(folder / "lab", device_base)
    broker: LocalBroker = lab.broker(jars)
    made = Fleet(lab, folder / "inventory", folder / "artifact")
    made.code.mkdir()
    made.good("first")
    service = {
        "source_topic": "in", "target_topic": "out", "group_id": "odd", "artifact": str(made.code),
        "entrypoint": "odd:process", "hosts": "fog", "min_instances": 0, "max_instances": 2,
    }  # fmt: skip
    try:
        lab.up(2, None)
        broker.up()
        with entered(lab.hub_netns):
            cluster = Cluster({"bootstrap_servers": [lab.bootstrap]})
            cluster.create("in", 2)
            cluster.create("out", 2)
            cluster.close()
        write(made.inventory, lab)
        variables = {
            "fogverse_consumer_prove_timeout": 25, "fogverse_consumer_drain_timeout": 3,
            "fogverse_consumer_restart_delay": 1,
        }  # fmt: skip
        (made.inventory / "group_vars" / "all" / "services.yml").write_text(
            yaml.safe_dump({"fogverse_services": {"odd": service}} | variables)
        )
        prepare(lab, made.inventory, folder / "site.log")
        made.play("deploy")
        yield made
    finally:
        broker.down()
        lab.down()


def test_a_good_release_rolls_through_and_a_second_run_changes_nothing(fleet: Fleet) -> None:
    """Lost: an upgrade that leaves devices behind, or that restarts everything each time it is run."""
    before = {host: fleet.running(host) for host in BOTH}
    fleet.good("second")
    predicted, _ = fleet.upgrade("--check")
    assert {host: fleet.running(host) for host in BOTH} == before, "a check changes nothing"
    assert {host: report["outcome"] for host, report in predicted.items()} == dict.fromkeys(BOTH, "upgraded")
    assert predicted["pi-1"]["from"] != predicted["pi-1"]["to"]
    with fleet.traffic():
        reports, output = fleet.upgrade()
    assert tuple(reports) == BOTH, output
    for host, report in reports.items():
        after = fleet.running(host)
        assert (report["outcome"], report["reachable"], report["reason"]) == ("upgraded", True, "")
        assert (report["from"], report["to"]) == (before[host]["FOGVERSE_RELEASE"], after["FOGVERSE_RELEASE"])
        assert report["instances"][0]["release"] == report["to"]
        assert after["cwd"] == f"{HOME}/releases/{report['to']}"
    running = {host: fleet.running(host) for host in BOTH}
    again, output = fleet.upgrade()
    assert {report["outcome"] for report in again.values()} == {"unchanged"}
    assert {host: fleet.running(host) for host in BOTH} == running
    assert re.findall(r"changed=(\d+)", output) == ["0", "0"], output


@pytest.mark.parametrize("kind", BAD)
def test_a_release_that_does_not_get_on_is_undone_and_the_roll_stops(fleet: Fleet, kind: str, tmp_path: Path) -> None:
    """Lost: a bad release takes the whole fleet down, or leaves the first device without a consumer."""
    code, said = BAD[kind]
    before = {host: fleet.running(host) for host in BOTH}
    fleet.write(code)
    runtime: tuple[str, ...] = ()
    if kind == "cannot be imported":
        # The bad release comes with a runtime of its own: that has to go back, too.
        shutil.copytree(PROJECT / "fogverse", tmp_path / "fogverse")
        (tmp_path / "fogverse/src/fogverse/newer.py").write_text('"""Makes it another one."""\n')
        runtime = ("-e", f"fogverse_device_runtime={tmp_path / 'fogverse'}")
    with fleet.traffic():
        reports, output = fleet.upgrade("-e", "fogverse_consumer_prove_timeout=15", *runtime, code=2)
    after = fleet.running("pi-1")
    assert list(reports) == ["pi-1"], output
    report = reports["pi-1"]
    assert report["outcome"] == "rolled-back", output
    assert report["from"] == before["pi-1"]["FOGVERSE_RELEASE"] == after["FOGVERSE_RELEASE"]
    assert after["python"] == before["pi-1"]["python"], "the runtime of before"
    assert f"back to {report['from']}" in report["reason"]
    assert said in report["reason"], "the status, or the journal's end"
    assert "(not touched: pi-2)" in output
    assert fleet.running("pi-2") == before["pi-2"]
    kept = fleet.run("pi-1", f"ls {HOME}/releases").split()
    assert len(kept) <= 3
    assert after["FOGVERSE_RELEASE"] in kept


def test_a_release_without_room_is_refused_before_anything_is_pushed(fleet: Fleet) -> None:
    """Lost: a full card, and a device that can neither go on nor back."""
    before = fleet.running("pi-1")
    fleet.good("large")
    (fleet.code / "model.bin").write_bytes(bytes(40_000_000))
    room = fleet.run("pi-1", "df -Pm /opt | awk 'NR == 2 { print $4 }'")
    fleet.run("pi-1", f"sudo fallocate -l {int(room) - 60}M /opt/ballast")
    try:
        reports, output = fleet.upgrade("-e", '{"fogverse_device_free_mb": 10}', code=2)
    finally:
        fleet.run("pi-1", "sudo rm /opt/ballast")
        (fleet.code / "model.bin").unlink()
    assert list(reports) == ["pi-1"]
    assert reports["pi-1"]["outcome"] == "failed"
    assert re.search(
        r"pi-1 has \d+ MB free under /opt, and release \w+ of odd needs 10\d MB", reports["pi-1"]["reason"]
    )
    assert "(not touched: pi-2)" in output
    assert not fleet.run("pi-1", f"ls -d {HOME}/incoming-* {HOME}/releases/{reports['pi-1']['to']}", check=False)
    assert fleet.running("pi-1") == before


def test_a_device_that_is_off_is_named_and_keeps_nobody(fleet: Fleet) -> None:
    """Lost: one dead device, and none of the others can be upgraded."""
    fleet.good("while one is off")
    fleet.lab.power_off("pi-1")
    try:
        with fleet.traffic():
            reports, output = fleet.upgrade()
    finally:
        fleet.lab.power_on("pi-1")
    assert list(reports) == ["pi-2", "pi-1"], output
    assert (reports["pi-1"]["reachable"], reports["pi-1"]["outcome"]) == (False, "unreachable")
    assert "pi-1 cannot be reached" in reports["pi-1"]["reason"]
    assert reports["pi-2"]["outcome"] == "upgraded"
    assert fleet.running("pi-2")["FOGVERSE_RELEASE"] == reports["pi-2"]["to"]


def test_a_power_cut_after_any_step_leaves_the_old_or_the_new_release_whole(fleet: Fleet) -> None:
    """Lost: a device that starts new settings with old code, or nothing at all, after somebody pulled the plug."""
    with fleet.wrapped() as folder, fleet.traffic():
        fleet.good("before any cut")
        (folder / "steps").unlink(missing_ok=True)
        # It may have been off during an upgrade, and is held back: that keeps nobody from upgrading it.
        assert fleet.upgrade("-l", "pi-1")[0]["pi-1"]["outcome"] == "upgraded"
        steps = (folder / "steps").read_text().splitlines()
        switch = next(number for number, step in enumerate(steps) if re.match(r"mv -T .*/current$", step))
        release = next(number for number, step in enumerate(steps) if re.match(r"mv -T .*/releases/\w+$", step))
        stop = next(number for number, step in enumerate(steps) if step.startswith("systemctl stop"))
        assert release < stop < switch
        assert steps[release - 1].startswith("sync -f"), "content reaches the card before its name does"
        assert [step.split()[0] for step in steps[switch - 3 : switch + 2]] == ["sync", "sync", "ln", "mv", "sync"]
        for cut in (release, switch - 1, switch):
            old = fleet.running("pi-1")["FOGVERSE_RELEASE"]
            fleet.good(f"cut at {cut}")
            fleet.run("pi-1", f"sudo rm -f /var/lib/steps; echo {cut + 1} | sudo tee /var/lib/cut-at >/dev/null")
            with fleet.playbook("upgrade", "-l", "pi-1") as run:
                try:
                    reached(cut, folder, run)
                    fleet.lab.power_off("pi-1")
                finally:
                    os.killpg(run.pid, signal.SIGKILL)
                run.communicate(timeout=60)
            for name in ("cut-now", "cut-at", "steps"):
                (folder / name).unlink(missing_ok=True)
            fleet.lab.power_on("pi-1")
            found = fleet.runs_by("pi-1", time.monotonic() + 60)
            assert (found["FOGVERSE_RELEASE"] == old) == (cut < switch), steps[cut]
            assert found["cwd"] == f"{HOME}/releases/{found['FOGVERSE_RELEASE']}"
            settings = fleet.run("pi-1", f"sudo grep ^FOGVERSE_CONFIG= {HOME}/current/settings.env")
            assert settings == f'FOGVERSE_CONFIG="{found["FOGVERSE_CONFIG"]}"'
    reports, _ = fleet.upgrade("-l", "pi-1")
    assert fleet.running("pi-1")["FOGVERSE_RELEASE"] == reports["pi-1"]["to"]
    assert fleet.run("pi-1", f"readlink {HOME}/current") == f"releases/{reports['pi-1']['to']}"
    assert len(fleet.run("pi-1", f"ls {HOME}/releases").split()) == 3


def test_a_device_whose_connection_is_lost_in_the_middle_ends_the_upgrade_by_itself(fleet: Fleet) -> None:
    """Lost: a device on which nothing runs, because the controller was switched off between its stop and its start."""
    with fleet.wrapped() as folder:
        old = fleet.running("pi-1")["FOGVERSE_RELEASE"]
        fleet.good("without a controller")
        fleet.run("pi-1", "sudo rm -f /var/lib/steps; sudo touch /var/lib/steps")
        with fleet.playbook("upgrade", "-l", "pi-1") as run:
            try:
                while "systemctl stop" not in (folder / "steps").read_text():
                    assert run.poll() is None, run.communicate()[0]
                    time.sleep(0.02)
            finally:
                os.killpg(run.pid, signal.SIGKILL)
            run.communicate(timeout=60)
        deadline = time.monotonic() + 60
        while (found := fleet.runs_by("pi-1", deadline))["FOGVERSE_RELEASE"] == old:
            assert time.monotonic() < deadline, (folder / "steps").read_text()
            time.sleep(0.2)
        assert found["cwd"] == f"{HOME}/releases/{found['FOGVERSE_RELEASE']}"

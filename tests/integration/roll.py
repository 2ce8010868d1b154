"""A fleet of the lab whose releases are rolled: what runs on its devices, and steps after which the power may go."""

from __future__ import annotations

import json
import os
import re
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

import yaml
from confluent_kafka import Producer

from lab.fleet import Lab
from lab.guard import SUPER_USER, Guard
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.broker.cluster import Cluster
from orchestrator.project import PROJECT

UNIT = "fogverse-odd@1.service"
HOME = "/opt/fogverse/services/odd"
#: Commands of the scripts that change something which lasts: after each of them the power may go.
STEPS = ("mv", "sync", "ln", "systemctl")
#: Stands before a command of the device: counts, and after a chosen step it says so and waits.
WRAPPER = """#!/bin/sh
real=$(PATH=/usr/bin:/bin command -v {name})
"$real" "$@"; code=$?
case "{name} $*" in *show*|*reset*|*list-units*|*is-enabled*|*-old) exit $code ;; esac
echo "{name} $*" >>/var/lib/steps
if [ "$(wc -l </var/lib/steps)" = "$(cat /var/lib/cut-at 2>/dev/null)" ]; then touch /var/lib/cut-now; sleep 600; fi
exit $code
"""


@dataclass
class Fleet:
    """Prepared devices, the folder of the code that they are to run, and who guards their broker."""

    lab: Lab
    inventory: Path
    code: Path
    guard: Guard | None

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

    def member_by(self, host: str, timeout_s: float) -> None:
        """Wait until the instance is a member of its group."""
        deadline = time.monotonic() + timeout_s
        while self.run(host, f"systemctl is-active {UNIT}", check=False) != "active":
            assert time.monotonic() < deadline, self.run(host, f"systemctl status {UNIT}", check=False)
            time.sleep(0.2)

    @property
    def _sender(self) -> dict[str, str]:
        if self.guard is None:
            return {}
        return {
            "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": SUPER_USER,
            "sasl.password": self.guard.passwords[SUPER_USER], "ssl.ca.location": str(self.guard.authority),
        }  # fmt: skip

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Messages on each partition all the time, so that what is new has something to do."""
        made, over = threading.Event(), threading.Event()

        def send() -> None:
            with entered(self.lab.hub_netns):
                producer = Producer({"bootstrap.servers": self.lab.bootstrap} | self._sender)
                made.set()  # it has read its certificates, which a test may write anew
                while not over.wait(0.5):
                    for partition in (0, 1):
                        producer.produce("in", b"x", partition=partition)
                producer.flush(10)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            assert made.wait(10)
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
            forget_steps(folder)

    def cut(self, step: int, folder: Path, *options: str) -> None:
        """Upgrade, take the power from pi-1 once it has come to that step of those that are noted, and give it back."""
        self.run("pi-1", f"sudo rm -f /var/lib/steps; echo {step + 1} | sudo tee /var/lib/cut-at >/dev/null")
        with self.playbook("upgrade", *options) as run:
            try:
                reached(step, folder, run)
                self.lab.power_off("pi-1")
            finally:
                os.killpg(run.pid, signal.SIGKILL)
            run.communicate(timeout=60)
        forget_steps(folder)
        self.lab.power_on("pi-1")


def forget_steps(folder: Path) -> None:
    """Of pi-1: what its commands noted, and where they were to wait."""
    for name in ("cut-now", "cut-at", "steps"):
        (folder / name).unlink(missing_ok=True)


def reached(step: int, folder: Path, run: subprocess.Popen[str]) -> None:
    """Wait until pi-1 has come to that step."""
    deadline = time.monotonic() + 240
    while not (folder / "cut-now").exists():
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline, (step, (folder / "steps").read_text())
        time.sleep(0.05)


@contextmanager
def rolled(base: Path, jars: Path, folder: Path, *, devices: int, guard: Guard | None = None) -> Iterator[Fleet]:
    """A lab whose devices each run an instance of a service that works."""
    lab = Lab(folder / "lab", base)
    broker = lab.broker(jars, guard)
    made = Fleet(lab, folder / "inventory", folder / "artifact", guard)
    made.code.mkdir()
    made.good("first")
    service = {
        "source_topic": "in", "target_topic": "out", "group_id": "odd", "artifact": str(made.code),
        "entrypoint": "odd:process", "hosts": "fog", "min_instances": 0, "max_instances": 2,
    }  # fmt: skip
    variables = {
        "fogverse_services": {"odd": service},
        "fogverse_consumer_prove_timeout": 25,
        "fogverse_consumer_drain_timeout": 3,
        "fogverse_consumer_restart_delay": 1,
    }
    try:
        lab.up(devices, None)
        broker.up()
        options = {"bootstrap_servers": [lab.bootstrap], **(guard.client_options(SUPER_USER) if guard else {})}
        with entered(lab.hub_netns):
            cluster = Cluster(options)
            cluster.create("in", 2)
            cluster.create("out", 2)
            cluster.close()
        write(made.inventory, lab)
        everywhere = made.inventory / "group_vars" / "all"
        (everywhere / "services.yml").write_text(yaml.safe_dump(variables))
        if guard:
            kafka = options | {
                "bootstrap_servers": lab.bootstrap,
                "sasl_plain_password": f"{{{{ lookup('ansible.builtin.file', '{folder}/password') }}}}",
            }
            (folder / "password").write_text(guard.passwords[SUPER_USER])
            (everywhere / "secure.yml").write_text(yaml.safe_dump({"fogverse_kafka": kafka}))
        prepare(lab, made.inventory, folder / "site.log")
        made.play("deploy")
        yield made
    finally:
        broker.down()
        lab.down()

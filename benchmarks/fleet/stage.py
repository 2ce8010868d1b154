"""The devices, and the broker, that all contenders work on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from fleet.commands import PROGRAMS, run
from lab import base, image, jars
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.project import PROJECT

SERVICE = "idle"
CODE = "def process(message):\n    return None\n"
#: Percent of a core that a device has at most: a small board is a quarter of a core here.
LARGEST_PERCENT = 25


@dataclass(frozen=True)
class Stage:
    """The lab that the contenders work on."""

    folder: Path
    lab: Lab
    context: Context

    @property
    def devices(self) -> list[str]:
        """Their names."""
        return [device.name for device in self.lab.devices()]

    @property
    def percent(self) -> int:
        """What a device has of a core: an equal share of all cores but the master's."""
        cores = max(1, (os.cpu_count() or 1) - 1)
        return max(1, min(LARGEST_PERCENT, 100 * cores // len(self.devices)))

    def on_all(self, command: str, *, cpu: int | None = None) -> None:
        """Run a shell command on all devices, between two measurements, with ``cpu`` percent of a core for each."""
        for name in self.devices:
            self.lab.cpu(name, cpu)
        with ThreadPoolExecutor(8) as pool:
            done = pool.map(lambda name: self._ssh(name, command), self.devices)
            if broken := [run.stderr for run in done if run.returncode]:
                sys.exit(f"'{command}' failed on {len(broken)} devices: {broken[0]}")
        for name in self.devices:
            self.lab.cpu(name, self.percent)

    def _ssh(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.lab.ssh_command(name, command), capture_output=True, text=True, check=False)


@contextmanager
def stage(folder: Path, hosts: int) -> Iterator[Stage]:
    """A broker and prepared devices: one by the playbook, the others as copies of its card."""
    lab = Lab(folder / "lab", base.build(PROJECT / ".lab" / "base", print))
    lab.down()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "artifact").mkdir(parents=True)
    (folder / "artifact" / "idle.py").write_text(CODE)
    inventory = folder / "inventory"
    service = {
        "source_topic": "in", "group_id": SERVICE, "artifact": str(folder / "artifact"), "entrypoint": "idle:process",
        "hosts": "fog", "min_instances": 1, "max_instances": hosts,
    }  # fmt: skip
    broker = lab.broker(jars.collect(PROJECT / ".lab" / "jars", print))
    try:
        print(f"{hosts} devices are being prepared", flush=True)
        lab.up(1)
        broker.up()
        write(inventory, lab)
        of_all = inventory / "group_vars" / "all"
        (of_all / "services.yml").write_text(yaml.safe_dump({"fogverse_services": {SERVICE: service}}))
        prepare(lab, inventory, folder / "site.log")
        lab.power_off("pi-1")
        lab = Lab(lab.folder, image.take(lab, "pi-1", folder / "card"))
        lab.up(hosts)
        write(inventory, lab)
        run([str(PROGRAMS / "ansible-playbook"), "-i", str(inventory), "playbooks/site.yml", "--tags", "services"])
        with entered(lab.hub_netns):
            yield Stage(folder, lab, open_context(Options(inventory)))
    finally:
        broker.down()
        lab.down()

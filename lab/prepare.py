"""Preparing a lab's devices as a user would: ``ansible-playbook playbooks/site.yml``, ``kafka.yml`` for its brokers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.errors import LabError
from lab.fleet import Lab
from orchestrator.project import PROJECT

_TIMEOUT_S = 300
_TAIL = 25


def prepare(lab: Lab, inventory: Path, log: Path) -> None:
    """Run ``site.yml`` on all devices, at full speed: their CPU quota is lifted meanwhile.

    Args:
        lab: its devices are up.
        inventory: as written by :func:`lab.inventory.write`.
        log: where Ansible's output goes.

    Raises:
        LabError: with the end of the output.
    """
    devices = lab.devices()
    for device in devices:
        lab.cpu(device.name, None)
    _play("site.yml", inventory, log)
    for device in devices:
        lab.cpu(device.name, device.cpu)


def prepare_brokers(inventory: Path, log: Path) -> None:
    """Run ``kafka.yml``, which makes a cluster of the devices ``kafka-1``, ... and waits until it answers.

    Args:
        inventory: as written by :func:`lab.inventory.write`.
        log: where Ansible's output goes.

    Raises:
        LabError: with the end of the output.
    """
    _play("kafka.yml", inventory, log)


def _play(playbook: str, inventory: Path, log: Path) -> None:
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), f"playbooks/{playbook}"]
    with log.open("w", encoding="utf-8") as out:
        code = subprocess.run(
            command, cwd=PROJECT, stdout=out, stderr=subprocess.STDOUT, check=False, timeout=_TIMEOUT_S
        ).returncode
    if code:
        tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-_TAIL:])
        raise LabError(f"{playbook} failed with exit code {code}; the whole output is in {log}:\n{tail}")

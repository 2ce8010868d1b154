"""The lab's inventory: plain Ansible YAML, so that playbooks run by hand reach the same devices as the master."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lab import files
from lab.base import USER
from lab.errors import LabError
from lab.fleet import Lab

_ASSETS = Path(__file__).with_name("assets")
_GROUP = "fog"
_HEAD = "---\n# Written by 'orchestrator lab up' each time; changes made here do not survive.\n"
#: Written once, then the user's.
_KEPT = ("services.yml", "settings.yml")


def write(inventory: Path, lab: Lab) -> None:
    """Write the inventory folder of a lab; ``services.yml`` and ``settings.yml`` only where they are missing.

    Args:
        inventory: made when missing.
        lab: all its devices go in, whatever state they are in.

    Raises:
        LabError: the folder holds an inventory that no lab has written.
    """
    hosts = inventory / "hosts.yml"
    if hosts.exists() and not hosts.read_text(encoding="utf-8").startswith(_HEAD):
        raise LabError(f"{hosts} was not written by a lab: choose another --inventory")
    of_all = inventory / "group_vars" / "all"
    files.write(hosts, _document(_hosts(lab)))
    files.write(of_all / "lab.yml", _document(_variables(lab)))
    for name in _KEPT:
        if not (of_all / name).exists():
            files.write(of_all / name, (_ASSETS / name).read_text(encoding="utf-8"))


def _hosts(lab: Lab) -> dict[str, Any]:
    devices = {device.name: {"ansible_host": device.address} for device in lab.devices()}
    return {_GROUP: {"hosts": devices}}


def _variables(lab: Lab) -> dict[str, Any]:
    keys = lab.keys
    return {
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(keys.private),
        # Quoted twice: Ansible splits the line, then ssh splits the value.
        "ansible_ssh_common_args": "-o 'UserKnownHostsFile=\"{{ fogverse_known_hosts }}\"' "
        "-o StrictHostKeyChecking=yes -o HashKnownHosts=no",
        # These enter the lab's network first, so that playbooks may be run from anywhere on this machine.
        "ansible_ssh_executable": str(lab.ssh_program),
        "ansible_sftp_executable": str(lab.ssh_program.with_name("sftp")),
        "ansible_scp_executable": str(lab.ssh_program.with_name("scp")),
        "ansible_control_path_dir": str(lab.control_path),
        "fogverse_known_hosts": str(keys.known_hosts),
        "fogverse_netns": lab.hub_netns,
        "fogverse_kafka": {"bootstrap_servers": lab.bootstrap},
    }


def _document(content: dict[str, Any]) -> str:
    return _HEAD + yaml.safe_dump(content, sort_keys=False, width=10_000)

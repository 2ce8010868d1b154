"""The lab's inventory: plain Ansible YAML, so that playbooks run by hand reach the same devices as the master."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lab import files
from lab.device import AUTOMATION
from lab.errors import LabError
from lab.fleet import Lab
from lab.java import java_home

_ASSETS = Path(__file__).with_name("assets")
_GROUP = "fog"
#: The group of the role kafka_broker.
_BROKERS = "kafka"
_HEAD = "---\n# Written by 'orchestrator lab up' each time; changes made here do not survive.\n"
#: Written once, then the user's.
_KEPT = {"all": ("services.yml", "settings.yml"), _BROKERS: ("kafka.yml",)}


def write(inventory: Path, lab: Lab, jars: Path | None = None) -> None:
    """Write the inventory folder of a lab; what is the user's to edit only where it is missing.

    Args:
        inventory: made when missing.
        lab: all its devices go in, whatever state they are in.
        jars: what its brokers are made from, see :func:`lab.jars.collect`; the folder ``jars`` of the lab unless told.

    Raises:
        LabError: the folder holds an inventory that no lab has written.
    """
    hosts = inventory / "hosts.yml"
    if hosts.exists() and not hosts.read_text(encoding="utf-8").startswith(_HEAD):
        raise LabError(f"{hosts} was not written by a lab: choose another --inventory")
    files.write(hosts, _document(_hosts(lab)))
    variables = {"all": _variables(lab)}
    if lab.brokers():
        dist = (jars or lab.folder / "jars").absolute()
        variables[_BROKERS] = {"kafka_broker_dist": str(dist), "kafka_broker_java_home": str(java_home())}
    for group, values in variables.items():
        folder = inventory / "group_vars" / group
        files.write(folder / "lab.yml", _document(values))
        for name in _KEPT[group]:
            if not (folder / name).exists():
                files.write(folder / name, (_ASSETS / name).read_text(encoding="utf-8"))


def _hosts(lab: Lab) -> dict[str, Any]:
    brokers = lab.brokers()
    groups = {_GROUP: [device for device in lab.devices() if device not in brokers], _BROKERS: brokers}
    return {
        group: {"hosts": {device.name: {"ansible_host": device.address} for device in members}}
        for group, members in groups.items()
        if members
    }


def _variables(lab: Lab) -> dict[str, Any]:
    keys = lab.keys
    return {
        "ansible_user": AUTOMATION,
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

"""Read and validate the whole inventory; every problem in one report, and nothing runs before there is none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator import settings
from orchestrator.core.device import Device
from orchestrator.errors import InventoryInvalid, Problem
from orchestrator.inventory import kafka as kafka_settings
from orchestrator.inventory.ansible import ask_ansible
from orchestrator.inventory.connection import Connection
from orchestrator.inventory.devices import check_addresses, check_device, no_address, user_ssh_config
from orchestrator.inventory.kafka import check_kafka
from orchestrator.inventory.model import Inventory
from orchestrator.inventory.names import KNOWN_HOSTS, NETNS, known
from orchestrator.inventory.places import Places, of_hosts
from orchestrator.inventory.services import VARIABLE as SERVICES
from orchestrator.inventory.services import check_services
from orchestrator.inventory.unread import unread
from orchestrator.validation import ABSENT, Finding, KeyPath

_NETNS = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: A name in a limit, not a pattern.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def read(path: Path, project: Path, environ: Mapping[str, str] = os.environ, limit: str | None = None) -> Inventory:
    """Read the inventory file or folder at ``path``.

    Args:
        path: what ``ansible-playbook -i`` would be given.
        project: the project's folder: relative paths of artifacts, certificates and keys begin there, and
            its ``ansible.cfg`` and ``playbooks/group_vars`` count.
        environ: environment variables; the settings among them are validated in the same report.
        limit: a pattern of hosts, as for ``ansible-playbook -l``; what it means is in the answer.

    Raises:
        InventoryInvalid: with every problem found, or a name in the limit is none of a host or a group.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - not resolved: group_vars stand beside the name given
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        words = "empty folder" if path.exists() else "no such file or folder"
        mend = "name another with -i PATH; inventory/example shows what belongs there"
        raise InventoryInvalid((Problem(path, None, "", None, f"{words}; {mend}"),))
    answer = ask_ansible(path, project, environ, limit)
    values: Mapping[str, Any] = answer["master"]["values"]

    services, of_services = check_services(
        values.get(SERVICES, ABSENT), answer["services"], project, [*answer["groups"], *answer["hosts"]]
    )
    kafka, of_kafka = check_kafka(values.get(kafka_settings.VARIABLE, ABSENT), project)
    known_hosts, of_known_hosts = _known_hosts(values, project)
    netns, of_netns = _netns(values)
    written, of_settings = _settings(values, environ)
    devices, connections, of_devices = _devices(answer, path, project)

    others = unread(answer, path, known(project))
    places = Places(answer["master"], path, answer["files"])
    untemplated = _untemplated(answer["master"])
    findings = [*of_services, *of_kafka, *of_known_hosts, *of_netns]
    named = [*((_with_hint(finding, answer), None) for finding in findings), *of_settings]
    problems = [
        *([] if answer["hosts"] else [Problem(path, None, "", None, "no host in it: add the devices")]),
        *(places.problem(finding) for finding in untemplated),
        *(
            finding.problem(key=variable) if variable else places.problem(finding)
            for finding, variable in named
            if not _below(finding.path, untemplated)
        ),
        *of_devices,
        *others.misspelt,
    ]
    problems += _unknown(path, limit, answer)
    if problems or kafka is None:
        raise InventoryInvalid(tuple(sorted(problems, key=_order)))
    return Inventory(
        path=path,
        services=services,
        devices=devices,
        hosts={service.name: tuple(answer["services"][service.name]) for service in services},
        connections=connections,
        kafka=kafka,
        settings=written,
        known_hosts=known_hosts,
        netns=netns,
        limit=None if limit is None else tuple(answer["limit"]),
        unread=others.own,
    )


def _devices(
    answer: Mapping[str, Any], path: Path, project: Path
) -> tuple[tuple[Device, ...], dict[str, Connection], tuple[Problem, ...]]:
    """Devices and connections of every host that a pattern matches, and what is wrong with them."""
    hosts: Mapping[str, Mapping[str, Any]] = answer["devices"]
    ssh_config = user_ssh_config()
    devices, connections, findings = [], {}, {}
    for name, host in hosts.items():
        device, connections[name], wrong = check_device(name, host, project, ssh_config)
        devices.append(device)
        findings[name] = [*wrong]
    for name in check_addresses(hosts, connections):
        findings[name].append(no_address())
    # One line of a group's variables is one problem, however many hosts are in the group.
    hosts_of: dict[Problem, list[str]] = {}
    for name, wrong_ones in findings.items():
        places = Places(hosts[name], path, answer["files"])
        untemplated = _untemplated(hosts[name])
        kept = [finding for finding in wrong_ones if not _below(finding.path, untemplated)]
        for finding in [*untemplated, *kept]:
            if finding.value is ABSENT:  # not there at all: the host's own entry is where to add it
                file, line = places.of(("inventory_hostname",))
                problem = finding.problem(file, line)
            else:
                problem = places.problem(finding)
            hosts_of.setdefault(problem, []).append(name)
    return tuple(devices), connections, tuple(of_hosts(problem, names) for problem, names in hosts_of.items())


def _settings(
    values: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[Mapping[str, Any], tuple[tuple[Finding, str | None], ...]]:
    written = values.get(settings.VARIABLE)
    if written is None:
        written = {}
    if not isinstance(written, Mapping):
        wrong = Finding((settings.VARIABLE,), written, "a mapping of settings; docs/settings.md lists them")
        return {}, ((wrong, None), *settings.findings({}, environ))
    return written, settings.findings(written, environ)


def _known_hosts(values: Mapping[str, Any], project: Path) -> tuple[Path | None, tuple[Finding, ...]]:
    written = values.get(KNOWN_HOSTS)
    if written is None:
        return None, ()
    if not isinstance(written, str) or not written:
        return None, (Finding((KNOWN_HOSTS,), written, "the path of a known_hosts file"),)
    return project / Path(written).expanduser(), ()


def _netns(values: Mapping[str, Any]) -> tuple[str | None, tuple[Finding, ...]]:
    written = values.get(NETNS)
    if written is None or (isinstance(written, str) and _NETNS.fullmatch(written)):
        return written, ()
    allowed = "the name of a network namespace, as 'ip netns' lists it; leave it out to use none"
    return None, (Finding((NETNS,), written, allowed),)


def _unknown(path: Path, limit: str | None, answer: Mapping[str, Any]) -> list[Problem]:
    """Names in a limit that mean nothing; Ansible would go on without them."""
    known = {"all", "ungrouped", *answer["groups"], *answer["hosts"], *answer["devices"]}
    names = [part.strip() for part in (limit or "").split(",")]
    return [
        Problem(path, None, "-l", name, "there is no host and no group of that name")
        for name in names
        if _PLAIN.fullmatch(name) and name not in known
    ]


def _with_hint(finding: Finding, answer: Mapping[str, Any]) -> Finding:
    """For a variable that is missing: where it stands instead."""
    if finding.value is not ABSENT or len(finding.path) > 1:
        return finding
    host = answer["elsewhere"].get(finding.path[0])
    if host is None:
        return finding
    hint = f"it is set only for some hosts (e.g. {host}): move it to group_vars/all"
    return Finding(finding.path, ABSENT, f"{finding.allowed}; {hint}")


def _untemplated(variables: Mapping[str, Any]) -> tuple[Finding, ...]:
    return tuple(
        Finding(tuple(path), template, f"this template cannot be filled in: {words}")
        for path, template, words in variables["untemplated"]
    )


def _below(path: KeyPath, findings: Iterable[Finding]) -> bool:
    """Whether the value at ``path`` is missing only because a template could not be filled in."""
    return any(path[: len(finding.path)] == finding.path for finding in findings)


def _order(problem: Problem) -> tuple[str, int]:
    return str(problem.file or ""), problem.line or 0

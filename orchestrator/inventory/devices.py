"""Hosts: from their variables to devices and connections, or what is wrong with them."""

from __future__ import annotations

import getpass
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko

from orchestrator.core.device import Device
from orchestrator.core.instance import Instance
from orchestrator.inventory.connection import Connection
from orchestrator.validation import ABSENT, Finding

_MOST_SLOTS = 64
_LONGEST_CLASS = 63
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: What a malformed label is told to be.
LABEL_ALLOWED = "letters, digits, '.', '_' and '-', at most 63 of them, beginning with a letter or a digit"
_HIGHEST_PORT = 65535
_SSH_PORT = 22
_PORT_VARIABLES = ("ansible_port", "ansible_ssh_port")
#: Names that only the device itself answers for: one that is off must not make the inventory invalid.
_MULTICAST = ".local"


def check_device(
    name: str, answer: Mapping[str, Any], project: Path, ssh_config: paramiko.SSHConfig
) -> tuple[Device, Connection, tuple[Finding, ...]]:
    """Validate one host.

    Args:
        name: inventory name.
        answer: what the reading child says of the host: ``values``, ``ssh``, ``connection``.
        project: folder that a relative key file is relative to.
        ssh_config: the user's own, which Ansible's ssh reads too: aliases, users, ports, keys.

    Returns:
        The device and its connection, of use only when there are no findings.
    """
    values: Mapping[str, Any] = answer["values"]
    findings = []
    slots, capacity = values.get("fogverse_slots", 1), values.get("fogverse_capacity")
    if Instance.parse(f"a@{name}.1") is None:
        allowed = "letters, digits, '_', '-' and '.', beginning with a letter, a digit or '_'"
        findings.append(Finding(("inventory_hostname",), name, allowed))
    if not _is(int, slots) or not 1 <= slots <= _MOST_SLOTS:
        findings.append(Finding(("fogverse_slots",), slots, f"a whole number from 1 to {_MOST_SLOTS}"))
    if capacity is not None and not (_is(int | float, capacity) and 0 < capacity < float("inf")):
        findings.append(Finding(("fogverse_capacity",), capacity, "messages per second of one instance: more than 0"))
    findings += _class_and_labels(values)
    findings += [
        Finding((variable,), values[variable], f"a TCP port: a whole number from 1 to {_HIGHEST_PORT}")
        for variable in _PORT_VARIABLES
        if values.get(variable) is not None and not _is_port(values[variable])
    ]
    connection = _connection(name, answer, project, ssh_config)
    if findings:  # the wrong values must not reach the frozen ones
        return Device(name, connection.host), connection, tuple(findings)
    labels = frozenset(values.get("fogverse_labels") or ())
    device = Device(name, connection.host, slots, capacity, values.get("fogverse_class"), labels)
    return device, connection, ()


def check_addresses(answers: Mapping[str, Mapping[str, Any]], connections: Mapping[str, Connection]) -> tuple[str, ...]:
    """Names of the hosts that have no address: no ``ansible_host``, and the name means nothing here.

    A name server that does not answer is no evidence; nor is a ``.local`` name, which a device that is off
    does not answer for.
    """
    unknown = [
        name
        for name, connection in connections.items()
        if connection.host == name and not connection.local and "ansible_host" not in answers[name]["values"]
    ]
    if not unknown:
        return ()
    with ThreadPoolExecutor(max_workers=min(16, len(unknown))) as threads:
        return tuple(name for name, known in zip(unknown, threads.map(_resolves, unknown), strict=True) if not known)


def no_address() -> Finding:
    """What to say of a host that ``check_addresses`` names."""
    allowed = "required, as the host's name cannot be resolved: its address, e.g. ansible_host: 192.168.1.23"
    return Finding(("ansible_host",), ABSENT, allowed)


def user_ssh_config() -> paramiko.SSHConfig:
    """The user's ``~/.ssh/config``, which Ansible's ssh obeys too; empty when there is none."""
    file = Path("~/.ssh/config").expanduser()
    return paramiko.SSHConfig.from_path(str(file)) if file.is_file() else paramiko.SSHConfig()


def _class_and_labels(values: Mapping[str, Any]) -> Iterable[Finding]:
    of, labels = values.get("fogverse_class"), values.get("fogverse_labels")
    if of is not None and not (isinstance(of, str) and 0 < len(of) <= _LONGEST_CLASS and of.isprintable()):
        words = f"text of at most {_LONGEST_CLASS} characters: devices of one class are taken to be equally fast"
        yield Finding(("fogverse_class",), of, words)
    if labels is None:
        return
    if not isinstance(labels, list):
        yield Finding(("fogverse_labels",), labels, "a list of words, e.g. [camera, indoors]")
        return
    for index, label in enumerate(labels):
        if not (isinstance(label, str) and _LABEL.fullmatch(label)):
            yield Finding(("fogverse_labels", index), label, LABEL_ALLOWED)


def _connection(name: str, answer: Mapping[str, Any], project: Path, ssh_config: paramiko.SSHConfig) -> Connection:
    ssh: Mapping[str, Any] = answer["ssh"]
    host = str(ssh["host"] or name)
    user_config = ssh_config.lookup(host)
    key = ssh["private_key_file"] or next(iter(user_config.get("identityfile", [])), None)
    port = ssh["port"] if _is_port(ssh["port"]) else user_config.get("port", _SSH_PORT)
    return Connection(
        device=name,
        host=str(user_config.get("hostname", host)),
        port=int(port),
        user=str(ssh["remote_user"] or user_config.get("user") or getpass.getuser()),
        key_file=project / Path(str(key)).expanduser() if key else None,
        password=str(ssh["password"]) if ssh["password"] else None,
        sudo_password=bool(answer["sudo_password"]),
        local=str(answer["connection"]).rsplit(".", 1)[-1] == "local",
    )


def _resolves(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return True
    if name.endswith(_MULTICAST):
        return True
    try:
        socket.getaddrinfo(name, None)
    except socket.gaierror as error:
        return error.errno not in {socket.EAI_NONAME, socket.EAI_NODATA}
    except UnicodeError:
        return False
    return True


def _is(kind: Any, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_port(value: object) -> bool:
    text = str(value)
    return not isinstance(value, bool) and text.isdecimal() and 0 < int(text) <= _HIGHEST_PORT

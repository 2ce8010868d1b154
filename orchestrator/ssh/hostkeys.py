"""Host keys: ask a device for its own, and keep those that the user trusts."""

from __future__ import annotations

import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import paramiko

from orchestrator.errors import DeviceFailed
from orchestrator.inventory.connection import Connection
from orchestrator.ssh.reasons import host_key_name, reason, timed_out

#: How RSA keys are used, and what known_hosts calls them.
_RSA = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}


@dataclass(frozen=True, slots=True)
class HostKey:
    """The key a device showed.

    Attributes:
        kind: its type, e.g. ``ssh-ed25519``.
        fingerprint: as ``ssh-keygen -lf`` shows it on the device.
        line: what belongs into known_hosts.
        state: ``known``, ``unknown``, or ``changed``: another one is known for this device.
    """

    kind: str
    fingerprint: str
    line: str
    state: str


def show(connection: Connection, known_hosts: Path, timeout_s: float) -> HostKey:
    """Ask a device for its host key; nobody logs in.

    Raises:
        DeviceFailed: it cannot be reached, or is no SSH server.
    """
    try:
        known = _known(connection, known_hosts)
        key = _ask(connection, timeout_s, known)
    except TimeoutError:
        raise DeviceFailed(f"{connection.device}: {timed_out(timeout_s, 'the SSH greeting')}") from None
    except (OSError, paramiko.SSHException, paramiko.hostkeys.InvalidHostKey) as error:
        words = reason(error, connection, known_hosts, "the SSH greeting")
        raise DeviceFailed(f"{connection.device}: {words}") from None
    line = f"{host_key_name(connection)} {key.get_name()} {key.get_base64()}"
    state = "unknown" if not known else "known" if known.get(key.get_name()) == key else "changed"
    return HostKey(key.get_name(), key.fingerprint, line, state)


def trust(key: HostKey, known_hosts: Path) -> None:
    """Add a key to the file, which is made if need be; it is readable by its owner only."""
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    known_hosts.touch(mode=0o600)
    text = known_hosts.read_text()
    with known_hosts.open("a") as file:
        file.write(("" if not text or text.endswith("\n") else "\n") + key.line + "\n")


def _ask(connection: Connection, timeout_s: float, known: Collection[str]) -> paramiko.PKey:
    """The key of a kind that is known, if the device has one: it has several, and another one says nothing."""
    with socket.create_connection((connection.host, connection.port), timeout=timeout_s) as link:
        transport = paramiko.Transport(link)
        transport.set_log_channel("orchestrator.ssh.paramiko")
        options = transport.get_security_options()
        options.key_types = sorted(options.key_types, key=lambda kind: _RSA.get(kind, kind) not in known)
        transport.banner_timeout = 2 * timeout_s  # ours comes first: its words are clearer
        try:
            transport.start_client(timeout=timeout_s)
            if not transport.initial_kex_done:
                raise TimeoutError
            return transport.get_remote_server_key()
        finally:
            transport.close()
            transport.packetizer.complete_handshake()  # ends its timer thread
            transport.join(timeout_s)


def _known(connection: Connection, known_hosts: Path) -> dict[str, paramiko.PKey]:
    if not known_hosts.is_file():
        return {}
    found = paramiko.HostKeys(str(known_hosts)).lookup(host_key_name(connection))
    return dict(found.items()) if found else {}

"""Why a device could not be probed, in words, with the mend."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import paramiko

from orchestrator.inventory.connection import Connection


class UnknownHostKey(paramiko.SSHException):
    """The device showed a key, and none is known for it."""

    def __init__(self, key: paramiko.PKey) -> None:
        super().__init__("host key unknown")
        self.key = key


def timed_out(timeout_s: float, phase: str) -> str:
    """A phase did not end in time."""
    return f"SSH: timed out after {timeout_s:g} s in {phase}"


def reason(error: Exception, connection: Connection, known_hosts: Path, phase: str) -> str:
    """What the error means for this device, and what to do."""
    where = f"{connection.host}:{connection.port}"
    match error:
        case UnknownHostKey(key=key):
            return (
                f"SSH: host key unknown ({key.fingerprint}): compare it on the device's console, "
                f"then run: orchestrator device enroll {connection.device}"
            )
        case paramiko.BadHostKeyException(key=shown):
            return changed(connection, known_hosts, shown.fingerprint)
        case paramiko.PasswordRequiredException():
            return f"SSH: the key {connection.key_file} has a pass phrase: load it with ssh-add"
        case paramiko.AuthenticationException():
            with_key = f" with {connection.key_file}" if connection.key_file else ""
            return (
                f"SSH: {connection.user} is not let in{with_key}: "
                f"is the public key in ~{connection.user}/.ssh/authorized_keys of the device?"
            )
        case paramiko.hostkeys.InvalidHostKey():
            return f"SSH: {known_hosts} has a line that cannot be read: {error.args[0]!r}"
        case socket.gaierror():
            return f"SSH: the name {connection.host} cannot be resolved: set ansible_host to an address"
        case FileNotFoundError() | PermissionError():
            return f"SSH: the key file {error.filename} cannot be read: {error.strerror}"
        case ConnectionRefusedError():
            return f"SSH: connection refused by {where}: does sshd run on the device?"
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
            return f"SSH: no route to {connection.host}: is it powered and on the network?"
    if "banner" in str(error):
        return f"SSH: what listens at {where} is no SSH server, or it is overloaded"
    return f"SSH: failed in {phase} with {where}: {' '.join(str(error).split()) or type(error).__name__}"


def changed(connection: Connection, known_hosts: Path, fingerprint: str) -> str:
    """The device shows another key than the one that is trusted."""
    forget = f"ssh-keygen -f {known_hosts} -R '{host_key_name(connection)}'"
    return (
        f"SSH: host key CHANGED (now {fingerprint}): if the device was set up anew, run: {forget}; then: "
        f"orchestrator device enroll {connection.device}; if it was not, somebody may be in between"
    )


def host_key_name(connection: Connection) -> str:
    """The device's name in a known_hosts file."""
    return connection.host if connection.port == paramiko.config.SSH_PORT else f"[{connection.host}]:{connection.port}"

"""SSH into the lab's network from outside of it, and waiting for a device to let one in."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab import files, netns
from lab.base import USER
from lab.errors import LabError
from lab.keys import Keys

_PORT = 22
_PROGRAMS = ("ssh", "sftp", "scp")
#: 255 is how ssh says "unreachable", and Ansible understands it.
_WRAPPER = """\
#!/bin/sh
# {program} from inside the lab's network; as unreachable as a device without power when there is no lab.
[ -e {netns} ] || {{ echo "{program}: no lab: start it with 'orchestrator lab up'" >&2; exit 255; }}
exec nsenter --net={netns} {program} "$@"
"""


def write_wrappers(ssh: Path, hub: str) -> None:
    """Write the script ``ssh``, and ``sftp`` and ``scp`` beside it, which enter the namespace ``hub`` first."""
    for program in _PROGRAMS:
        text = _WRAPPER.format(program=program, netns=netns.path(hub))
        files.write(ssh.with_name(program), text, mode=0o755)


def login_command(ssh: Path, keys: Keys, address: str) -> list[str]:
    """The command that logs in to the device at ``address``; what is to be done there is put behind it."""
    return [
        str(ssh), "-i", str(keys.private), "-o", "IdentitiesOnly=yes",
        "-o", f'UserKnownHostsFile="{keys.known_hosts}"', "-o", "StrictHostKeyChecking=yes",
        "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3",
        f"{USER}@{address}",
    ]  # fmt: skip


def wait_for_login(command: Sequence[str], hub: str, address: str, deadline: float) -> None:
    """Wait until a device answers and ``command``, a login that does nothing, succeeds.

    Args:
        command: the login; fails quickly when refused.
        hub: namespace from which the device is reached.
        address: the device's.
        deadline: of the monotonic clock.

    Raises:
        LabError: it did not within the deadline.
    """
    words = "nothing answers on port 22"
    while time.monotonic() < deadline:
        if _greets(hub, address):
            # systemd lets users in a moment after sshd greets.
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        time.sleep(0.05)
    raise LabError(f"cannot log in to {address}: {words}; its console is devices/NAME/console.log in the lab's folder")


def _greets(hub: str, address: str) -> bool:
    try:
        with netns.entered(hub), socket.create_connection((address, _PORT), 1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False

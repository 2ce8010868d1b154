"""How to reach one device over SSH, as Ansible would."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Connection:
    """What paramiko needs for one device.

    Attributes:
        device: inventory name.
        host: address or name to connect to (``ansible_host``, else the inventory name).
        port: TCP port of the SSH server.
        user: user to log in as.
        key_file: private key; None leaves it to the agent and the default keys.
        password: password, when the inventory has one; never shown.
        sudo_password: whether the inventory has a password for sudo, so that sudo may ask for one.
        local: ``ansible_connection: local``: the device is this machine, no SSH.
    """

    device: str
    host: str
    port: int
    user: str
    key_file: Path | None = None
    password: str | None = field(default=None, repr=False)
    sudo_password: bool = False
    local: bool = False

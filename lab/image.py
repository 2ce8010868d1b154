"""A root file system made from a device: as one writes a card for one Raspberry Pi and copies it for the others."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import files
from lab.commands import run
from lab.errors import LabError
from lab.fleet import Lab

#: What makes a device itself, in its file system; each copy makes its own at its first boot.
_OWN = ("var/lib/dbus/machine-id", "var/lib/systemd/random-seed")
_LOGS = "var/log/journal"


def take(lab: Lab, name: str, into: Path) -> Path:
    """Copy the file system of a device that is off; returns the copy, which is a base for new devices.

    Args:
        lab: of the device.
        name: the device.
        into: folder that must not exist.

    Raises:
        LabError: the device is on, so that its files may change under the copy.
    """
    state = next((device.state for device in lab.devices() if device.name == name), None)
    if state != "off":
        raise LabError(f"{name} is {state or 'not there'}: 'orchestrator lab power-off {name}' first")
    run(["cp", "--archive", "--one-file-system", str(lab.root(name)), str(into)])
    for path in _OWN:
        (into / path).unlink(missing_ok=True)
    shutil.rmtree(into / _LOGS, ignore_errors=True)
    (into / _LOGS).mkdir()
    files.write(into / "etc/machine-id", "", mode=0o444)
    return into

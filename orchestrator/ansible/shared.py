"""Shared SSH connections of the master: one process each, found by its socket and closed with the master."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

_CLOSE_S = 2.0


def is_shared_connection(arguments: list[str]) -> bool:
    """Whether a command line is that of OpenSSH's process behind a shared connection (it rewrites its own)."""
    return bool(arguments) and arguments[0].startswith("ssh: ") and arguments[0].endswith(" [mux]")


def close_all(folder: Path) -> None:
    """Close the connections whose sockets are in ``folder``; one that does not answer ends by itself (ControlPersist).

    Also of a folder that does not exist.
    """
    for control in list(folder.iterdir()) if folder.is_dir() else ():
        # The name of the host is of no use to -O, but wanted.
        command = ["ssh", "-F", "none", "-o", f"ControlPath={control}", "-O", "exit", "any"]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, capture_output=True, timeout=_CLOSE_S)
    shutil.rmtree(folder, ignore_errors=True)

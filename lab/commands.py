"""Programs of this machine that the lab runs, and what to install where one is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from lab.errors import LabError

#: Debian's package of each program that devices need.
PACKAGES = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
}


def run(command: Sequence[str]) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        LabError: it is not installed, or failed; the text holds its own words.
    """
    try:
        done = subprocess.run(list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(_missing([command[0]])) from None
    if done.returncode:
        words = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise LabError(f"{' '.join(command)}: {words}")
    return done.stdout


def require_root() -> None:
    """Stop here unless this is root: namespaces, mounts and control groups are root's.

    Raises:
        LabError: it is not.
    """
    if os.geteuid():
        raise LabError("simulated devices need root: run with sudo")


def require_programs(programs: Iterable[str]) -> None:
    """Stop here unless all these programs are installed.

    Raises:
        LabError: with one line that installs what is missing.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise LabError(_missing(missing))


def _missing(programs: Sequence[str]) -> str:
    packages = sorted({PACKAGES.get(program, program) for program in programs})
    return f"missing: {', '.join(programs)}; install with 'apt-get install {' '.join(packages)}'"

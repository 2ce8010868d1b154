"""pip, run by this interpreter, and its complaints in one sentence."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

from orchestrator.device_platform import Platform, WheelsError


def run(arguments: list[str], platform: Platform) -> None:
    """Run one command of pip.

    Args:
        arguments: the command and its options.
        platform: named in the error.

    Raises:
        WheelsError: with pip's reason, and what helps.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).strip().splitlines()]
        errors = [line for line in lines if re.match(r"ERROR: |\w*Error: ", line)] or lines[-3:]
        raise WheelsError(
            f"pip {arguments[0]} for {platform} failed: {' '.join(errors)} "
            "(wheels are collected on this machine, which needs a registry the first time; a package without "
            "a wheel for the device has to be replaced, or built once and listed by its path)"
        )


def version() -> str:
    """The version of this interpreter's pip, which devices get too.

    Raises:
        WheelsError: it has none.
    """
    try:
        return importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError as missing:
        raise WheelsError(
            f"pip is missing in {sys.prefix}: run '{sys.executable} -m ensurepip', or 'make setup'"
        ) from missing

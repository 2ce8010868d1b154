"""Commands that contenders are."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.project import PROJECT

#: Where Ansible's programs are.
PROGRAMS = Path(sys.executable).parent


def run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Run it to its end.

    Raises:
        RuntimeError: it failed, with the end of what it said.
    """
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command[:4])} failed: {(done.stdout + done.stderr)[-1500:]}")

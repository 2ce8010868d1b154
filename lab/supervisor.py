"""The power supply of one device: starts it, and again when it reboots itself.

Run as ``python supervisor.py MACHINE PLAN``, with the standard library alone. MACHINE only names the process.
PLAN is a JSON file: ``prepare`` (commands run before each boot), ``groups`` (control group files that take
the process), ``command``, ``environment`` and ``finish`` (command run once it is off).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

#: How systemd-nspawn ends when the device has asked for a reboot.
_REBOOT = 133
#: Boots that may fail within seconds, one after the other, before the device stays off.
_QUICK_BOOTS = 5
_QUICK_S = 2.0


def main() -> int:
    """Run the device until it is off; returns how it ended."""
    plan = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    quick = 0
    while True:
        for command in plan["prepare"]:
            subprocess.run(command, check=True)
        began = time.monotonic()
        code = _boot(plan)
        print(f"supervisor: ended with {code}", flush=True)
        quick = quick + 1 if time.monotonic() - began < _QUICK_S else 0
        if code != _REBOOT or quick >= _QUICK_BOOTS:
            subprocess.run(plan["finish"], check=False)  # fails when the whole network is gone already
            return 0 if code == _REBOOT else code


def _boot(plan: dict[str, list[str]]) -> int:
    def enter_groups() -> None:  # in the child: the supervisor stays outside and is not frozen with it
        for group in plan["groups"]:
            Path(group).write_text("0", encoding="ascii")

    environment = {**os.environ, **dict(pair.split("=", 1) for pair in plan["environment"])}
    return subprocess.run(
        plan["command"], check=False, stdin=subprocess.DEVNULL, env=environment, preexec_fn=enter_groups
    ).returncode


if __name__ == "__main__":
    sys.exit(main())

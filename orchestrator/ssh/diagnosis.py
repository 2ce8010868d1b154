"""Ask a device about one instance: the state of its unit, how it last ended, and the last lines of its journal."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.instance import Instance
from orchestrator.inventory.connection import Connection
from orchestrator.ssh.ask import ask

#: Lines of the journal that are kept of a diagnosis, and the length of each.
JOURNAL_LINES = 8
LONGEST_LINE = 300
#: systemd's ExecMainCode for a process that ended by itself (CLD_EXITED); 2 and 3 are signals.
_EXITED, _SIGNALLED = "1", ("2", "3")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\uffff]")
_SCRIPT = """
export LC_ALL=C.UTF-8
unit={unit}
systemctl show --property=ActiveState,SubState,ExecMainCode,ExecMainStatus,NRestarts "$unit"
[ -L "/etc/systemd/system/multi-user.target.wants/$unit" ] && echo Enabled=yes || echo Enabled=no
ask=; [ "$(id -u)" = 0 ] || ask='sudo -n'
$ask journalctl --quiet --no-pager --output=cat --lines={lines} --unit="$unit" 2>/dev/null | sed 's/^/Journal=/'
"""


def diagnose(instance: Instance, connection: Connection, known_hosts: Path | None, timeout_s: float) -> Diagnosis:
    """Ask the instance's device; never raises: what goes wrong is in the diagnosis.

    Args:
        instance: which.
        connection: its device.
        known_hosts: the host keys that are trusted; the user's own file when None.
        timeout_s: deadline of each phase, seconds.
    """
    script = _SCRIPT.format(unit=instance.unit, lines=JOURNAL_LINES)
    asked = ask([(connection, script)], known_hosts, timeout_s)[connection.device]
    if asked.answer.output is None:
        return Diagnosis(reachable=False, reason=asked.answer.reason)
    return parse(asked.answer.output)


def parse(output: str) -> Diagnosis:
    """Read the script's output; what is missing or makes no sense becomes None."""
    lines = [line.partition("=") for line in output.splitlines() if "=" in line]
    said = {key: value for key, _, value in lines if key != "Journal"}
    code, status = said.get("ExecMainCode"), said.get("ExecMainStatus", "")
    number, restarts = int(status) if status.isdecimal() else None, said.get("NRestarts", "")
    return Diagnosis(
        reachable=True,
        active=said.get("ActiveState") or None,
        sub=said.get("SubState") or None,
        enabled={"yes": True, "no": False}.get(said.get("Enabled", "")),
        exit_code=number if code == _EXITED else None,
        signal=number if code in _SIGNALLED else None,
        restarts=int(restarts) if restarts.isdecimal() else None,
        journal=tuple(
            _UNPRINTABLE.sub("", value)[:LONGEST_LINE] for key, _, value in lines if key == "Journal" and value.strip()
        ),
    )

"""Who a process is, also while it is becoming another program."""

from __future__ import annotations

import os
import subprocess

from lab.processes import arguments, is_running

#: Becomes itself again, so many times.
BECOMING = '[ "$1" -gt 0 ] && exec sh -c "$0" "$0" $(($1 - 1)) mark; exec sleep 60'


def test_a_process_in_the_middle_of_exec_counts_as_running() -> None:
    """Lost otherwise: brokers and devices that "died" with an empty log although they were just starting."""
    process = subprocess.Popen(["sh", "-c", BECOMING, BECOMING, "200", "mark"])
    try:
        seen = 0
        while arguments(process.pid)[:1] != ["sleep"]:
            assert is_running(process.pid, "mark") or arguments(process.pid)[:1] == ["sleep"]
            seen += 1
        assert seen > 10
    finally:
        process.kill()
        process.wait()
    assert not is_running(process.pid, "sleep")


def test_a_process_that_has_ended_and_was_not_waited_for_does_not_run() -> None:
    """Lost otherwise: an end that is waited for until the deadline."""
    process = subprocess.Popen(["true", "mark"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not is_running(process.pid, "mark")
    finally:
        process.wait()

"""One Ansible run, in a process of its own: ansible-runner drives it, events leave as JSON lines.

The request comes as one JSON line over the same socket. ansible-runner takes over signals, leaks state through its
private folder, leaves children behind and writes the environment into its artifacts: in a process of its own, with a
fresh folder that is removed afterwards, none of that reaches the master.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from orchestrator.ansible import client
from orchestrator.ansible.events import Events
from orchestrator.ansible.stem import grow
from orchestrator.project import PROJECT

#: How often ansible-runner looks whether the run was cancelled.
_LOOK_S = 0.2
#: How long a cancelled run may take to end before its process is killed.
_GRACE_S = 4


class Cancelled:
    """Whether the run is to be broken off: SIGTERM, or nobody holds the other end of its socket any more."""

    def __init__(self, channel: socket.socket) -> None:
        self._poll = select.poll()
        self._poll.register(channel, select.POLLRDHUP | select.POLLHUP)
        self._told = False
        self._stem: int | None = None
        signal.signal(signal.SIGTERM, self._tell)

    def watch(self, stem: int) -> None:
        """Also end this process when it comes to that."""
        self._stem = stem

    def forget(self) -> None:
        """The process has ended."""
        self._stem = None

    def __call__(self) -> bool:
        """For ansible-runner's ``cancel_callback``."""
        if not self._told and self._poll.poll(0):
            self._tell()
        return self._told

    def _tell(self, *_: object) -> None:
        if self._told:
            return
        self._told = True
        signal.alarm(_GRACE_S)  # its default action ends this process
        if self._stem is not None:
            os.kill(self._stem, signal.SIGTERM)  # Ansible passes it on to its workers


def private_folder(folder: Path, pid: int) -> Path:
    """Where a run keeps its files while it lasts."""
    return folder / f"run-{pid}"


def run(channel: socket.socket, folder: Path, control_path: Path) -> int:
    """Carry out the request that comes over the channel; returns Ansible's exit code.

    Args:
        channel: the other end's closing (or its shutdown) cancels the run.
        folder: where a private folder is made.
        control_path: folder for the sockets of shared SSH connections.
    """
    cancelled, events = Cancelled(channel), Events(channel.sendall)
    events.emit(event="began", pid=os.getpid())
    request = json.loads(channel.makefile("r", encoding="utf-8").readline())
    events.followed = request.get("followed", False)
    private = private_folder(folder, os.getpid())
    private.mkdir(mode=0o700)
    try:
        status, code = _carry_out(request, private, control_path, channel, events, cancelled)
    finally:
        shutil.rmtree(private, ignore_errors=True)
    events.emit(event="end", status=status, rc=code)
    return code


def _carry_out(
    request: dict[str, Any],
    private: Path,
    control_path: Path,
    channel: socket.socket,
    events: Events,
    cancelled: Cancelled,
) -> tuple[str, int]:
    import ansible_runner  # noqa: PLC0415 - the process this was forked from has it

    variables = private / "variables.json"
    # Shared connections are the master's own, so that it can close them at its end.
    variables.write_text(json.dumps({"ansible_control_path_dir": str(control_path), **request["variables"]}))
    (private / "env").mkdir()
    settings = {"pexpect_timeout": _LOOK_S, "suppress_output_file": True, "suppress_ansible_output": True}
    (private / "env" / "settings").write_text(json.dumps(settings))
    door = private / "stem"
    playbook = str(PROJECT / "playbooks" / request["playbook"])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        listener.listen(1)
        stem = grow(listener, channel)
    cancelled.watch(stem)
    dry = ["--check", "--diff"] if request.get("check") else []
    try:
        outcome = ansible_runner.run(
            private_data_dir=str(private),
            binary=sys.executable,
            cmdline=shlex.join(
                ["-I", "-S", str(Path(client.__file__)), str(door), playbook, "-e", f"@{variables}", *dry]
            ),
            inventory=request["inventory"],
            limit=request["limit"],
            envvars={"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_HOST_KEY_CHECKING": "True"},
            fact_cache_type="memory",
            event_handler=events,
            cancel_callback=cancelled,
            suppress_env_files=True,
            quiet=True,
        )
        # What was killed has none.
        return outcome.status, 1 if outcome.rc is None else outcome.rc
    finally:
        cancelled.forget()
        _end(stem)


def _end(stem: int) -> None:
    """Wait for the process that ran Ansible; one that ansible-runner never got to is ended."""
    signal.alarm(_GRACE_S)
    if os.waitpid(stem, os.WNOHANG) == (0, 0):
        os.kill(stem, signal.SIGTERM)
        os.waitpid(stem, 0)
    signal.alarm(0)

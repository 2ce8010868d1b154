"""The process that becomes ``ansible-playbook``: forked from a warm one, it runs Ansible's own command line."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from typing import NoReturn

from orchestrator.ansible.parent import end_with_the_parent

_PROGRAM = "ansible-playbook"
_PIECE = 65_536
_KILLED = 255


def grow(listener: socket.socket, channel: socket.socket) -> int:
    """Fork a process that waits for the client on ``listener`` and then runs Ansible; returns its pid.

    Args:
        listener: where the client will connect.
        channel: of the parent's events; the fork closes its copy, so that it ends with the parent.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        end_with_the_parent(parent, signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        channel.close()
        _become(listener)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(_KILLED)  # whatever went wrong, this is not the parent


def _become(listener: socket.socket) -> NoReturn:
    client, _ = listener.accept()
    listener.close()
    _, descriptors, _, _ = socket.recv_fds(client, 1, 3)
    pieces = []
    while piece := client.recv(_PIECE):
        pieces.append(piece)
    said = json.loads(b"".join(pieces))
    # Without a terminal of its own: a question for a password fails instead of waiting for ever.
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(said["environment"])
    os.chdir(said["folder"])
    sys.argv = [_PROGRAM, *said["arguments"]]
    code = _run()
    sys.stdout.flush()
    sys.stderr.flush()
    client.send(bytes([code & 0xFF]))
    os._exit(code & 0xFF)


def _run() -> int:
    from ansible.cli.playbook import PlaybookCLI  # noqa: PLC0415 - the process this was forked from has it

    try:
        PlaybookCLI.cli_executor(sys.argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0

"""The master's side of the warm process: starts it, hands runs to it, starts another when it is gone or outdated."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.ansible.server import CONNECTIONS
from orchestrator.ansible.shared import close_all
from orchestrator.project import PROJECT

#: Most letters of the folder's path: a socket's path may have about a hundred, and OpenSSH adds thirty.
_LONGEST = 50
#: How long a server may take to close its connections and end.
_END_S = 10.0
_CONFIG = PROJECT / "ansible.cfg"


class Warm:
    """One warm process of Ansible, started when first wanted; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._outdated: list[_Server] = []

    def start(self) -> None:
        """Have it ready, or on the way to being so: it takes its time to import Ansible by itself."""
        with self._lock:
            self._current()

    def submit(self, request: Mapping[str, Any]) -> tuple[socket.socket, int]:
        """Hand over a run.

        Returns:
            The socket of its events (closing it, or shutting down the sending side, cancels the run), and a
            descriptor to read its error output from. Both are the caller's to close.

        Raises:
            OSError: no warm process can be started.
        """
        mine, theirs = socket.socketpair()
        errors, put_errors = os.pipe()
        try:
            mine.sendall(json.dumps(request).encode() + b"\n")
            with self._lock:
                try:
                    self._current().take(theirs.fileno(), put_errors)
                except ConnectionError:  # it has just died, perhaps so lately that it still counts as a process
                    self._bury()
                    self._current().take(theirs.fileno(), put_errors)
        except BaseException:
            mine.close()
            os.close(errors)
            raise
        finally:
            theirs.close()
            os.close(put_errors)
        return mine, errors

    @property
    def pid(self) -> int | None:
        """Process id of the warm process that takes runs now; None when there is none."""
        with self._lock:
            return None if self._server is None else self._server.pid

    def close(self) -> None:
        """End it: runs under way have been ended by who asked for them; shared SSH connections are closed."""
        with self._lock:
            servers = [*self._outdated, *([self._server] if self._server is not None else [])]
            self._outdated, self._server = [], None
        for server in servers:
            server.retire()
        for server in servers:
            server.end()

    def _bury(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.end()

    def _current(self) -> _Server:
        """One that lives and has read the ``ansible.cfg`` that is there now."""
        for old in [old for old in self._outdated if not old.lives]:
            old.end()
            self._outdated.remove(old)
        server = self._server
        if server is not None and not server.lives:
            server.end()
            server = None
        elif server is not None and server.config != _stamp(_CONFIG):
            server.retire()
            self._outdated.append(server)
            server = None
        if server is None:
            server = _Server()
        self._server = server
        return server


class _Server:
    """A process of ``orchestrator.ansible.server``."""

    def __init__(self) -> None:
        self.config = _stamp(_CONFIG)
        place = tempfile.gettempdir()
        place = place if len(place) < _LONGEST else "/tmp"  # noqa: S108 - a folder with a name of its own is made in it
        self._folder = Path(tempfile.mkdtemp(prefix="fogverse-ansible-", dir=place))
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            for name in (CONNECTIONS, "local"):
                (self._folder / name).mkdir(mode=0o700)
            # -P: the working folder is no place to import from.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "orchestrator.ansible.server", str(theirs.fileno()), str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=PROJECT,
                env=_environment(self._folder),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except BaseException:
            self._control.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def take(self, channel: int, errors: int) -> None:
        socket.send_fds(self._control, [b"run"], [channel, errors])

    def retire(self) -> None:
        """Take no more runs, and end after the last."""
        self._control.close()

    def end(self) -> None:
        """Wait for its end, or make it end; and clear away what it could not."""
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._process.kill()
        self._process.wait()
        close_all(self._folder / CONNECTIONS)
        shutil.rmtree(self._folder, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    programs = os.path.dirname(sys.executable)  # noqa: PTH120 - not the interpreter behind the environment's link
    return {
        "LC_ALL": "C.UTF-8",  # Ansible refuses any other encoding, e.g. that of a bare systemd service
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "ANSIBLE_CONFIG": str(_CONFIG),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
    }


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is edited or replaced; None when it is not there."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns

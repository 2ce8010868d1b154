"""The warm process: ``python -m orchestrator.ansible.server SOCKET FOLDER``; forks a child for each run.

SOCKET is the number of an inherited SEQPACKET socket. A packet with two descriptors is a run: a stream socket for its
request and events, and a file for its error output. When the other end is closed no run is taken any more; those under
way go on (each ends when its own socket is closed), then shared SSH connections are closed and FOLDER is removed.

It has one thread, without which forking would not be safe. It adopts what its runs leave behind, whatever way they
end, and kills it, but for the shared SSH connections, which are meant to outlive a run.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from orchestrator.ansible.parent import adopt_orphans, end_with_the_parent
from orchestrator.ansible.preload import preload
from orchestrator.ansible.run import private_folder, run
from orchestrator.ansible.shared import close_all, is_shared_connection

#: Folder of the shared connections' sockets, inside FOLDER.
CONNECTIONS = "ssh"
#: Generations of orphans that are killed one after the other.
_GENERATIONS = 20


class Server:
    """Takes runs, and looks after their processes."""

    def __init__(self, control: socket.socket, folder: Path) -> None:
        """Import Ansible; if that fails, each run says so."""
        self._control = control
        self._folder = folder
        self._runs: set[int] = set()
        self._problem: BaseException | None = None
        try:
            preload()
        except Exception as problem:  # the run that asks for it reports it
            self._problem = problem

    def serve(self) -> None:
        """Take runs until the other end of the control socket is closed and the last run has ended."""
        adopt_orphans()
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            taking = True
            while taking or self._runs:
                for key, _ in selector.select():
                    if key.fileobj is woken:
                        with suppress(BlockingIOError):
                            woken.recv(4096)
                        self._reap()
                    elif not self._take():
                        selector.unregister(self._control)
                        taking = False
        signal.set_wakeup_fd(-1)
        self._reap()

    def _take(self) -> bool:
        """Take one run; False when there will be no more."""
        with suppress(ConnectionError):
            packet, descriptors, _, _ = socket.recv_fds(self._control, 16, 2)
            if packet:
                self._fork(*descriptors)
                return True
        return False

    def _fork(self, channel: int, errors: int) -> None:
        server = os.getpid()
        pid = os.fork()
        if not pid:
            self._be_run(server, channel, errors)
        self._runs.add(pid)
        os.close(channel)
        os.close(errors)

    def _be_run(self, server: int, channel: int, errors: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            end_with_the_parent(server, signal.SIGTERM)
            os.setsid()
            self._control.close()
            for standard in (1, 2):  # what libraries print is error output
                os.dup2(errors, standard)
            os.close(errors)
            if self._problem is None:
                code = run(socket.socket(fileno=channel), self._folder, self._folder / CONNECTIONS)
            else:
                print(f"Ansible cannot be imported: {self._problem!r}; is the environment whole?", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)  # what the server does at its end is not for its children to do

    def _reap(self) -> None:
        """Take in the children that have ended, and kill what runs have left behind."""
        for _ in range(_GENERATIONS):
            with suppress(ChildProcessError):
                while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                    self._runs.discard(pid)
                    shutil.rmtree(private_folder(self._folder, pid), ignore_errors=True)  # when it was killed
            orphans = [pid for pid in children(os.getpid()) if pid not in self._runs and not _is_shared(pid)]
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if not orphans:
                return


def children(parent: int) -> list[int]:
    """Process ids of the children of a process, those included that have ended and were not waited for."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(entry.name))
    return found


def _is_shared(pid: int) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return is_shared_connection(line.decode(errors="replace").rstrip("\0").split("\0"))


def main() -> None:
    """Serve until the master has closed the socket or has ended."""
    control, folder = socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])
    control.set_inheritable(False)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # it ends with the master, which may need it to drain what it started
    try:
        Server(control, folder).serve()
    finally:
        close_all(folder / CONNECTIONS)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

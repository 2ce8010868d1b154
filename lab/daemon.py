"""A process that outlives the command which starts it, known by a pid file that is never trusted alone."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.netns import entered
from lab.processes import end, is_running, send, wait_for_end

# $0 is the pid file, the rest the command; the shell gives its pid away and becomes the command.
_LAUNCH = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'


@dataclass(frozen=True)
class Daemon:
    """One background process.

    Attributes:
        pid_file: where its process id is kept while it runs.
        mark: an argument of its command line that no other process has, such as a path in its folder.
            A pid whose command line lacks it belongs to somebody else by now, and is left alone.
    """

    pid_file: Path
    mark: str

    def start(
        self,
        command: Sequence[str],
        *,
        log: Path,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Start ``command`` in a session of its own, its output appended to ``log``; returns its pid.

        Args:
            command: program and arguments; ``mark`` must be one of them.
            log: file for standard output and error.
            netns: network namespace to run in.
            env: the whole environment; the caller's when None.
        """
        self.pid_file.unlink(missing_ok=True)
        with entered(netns), log.open("ab") as output:
            # setsid -f leaves the new process to init, so that nobody has to wait for it.
            subprocess.run(
                ["setsid", "-f", "sh", "-c", _LAUNCH, str(self.pid_file), *command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, check=True,
            )  # fmt: skip
        deadline = time.monotonic() + 10
        while (pid := self._noted()) is None:
            if time.monotonic() > deadline:
                raise LabError(f"{command[0]} did not start, see {log}")
            time.sleep(0.005)
        return pid

    def pid(self) -> int | None:
        """Its process id, None when it does not run."""
        pid = self._noted()
        return pid if pid is not None and is_running(pid, self.mark) else None

    def stale(self) -> bool:
        """Whether it died without being stopped: a pid file without its process."""
        return self.pid_file.exists() and self.pid() is None

    def ended(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds for it to end; whether it has."""
        pid = self.pid()
        return pid is None or wait_for_end(pid, timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Ask it to end (SIGTERM), after ``timeout_s`` seconds make it end (SIGKILL); forget its pid."""
        if (pid := self.pid()) is not None:
            end(pid, timeout_s)
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. The pid file stays, as after a crash."""
        if (pid := self.pid()) is None:
            return
        send(pid, signal.SIGKILL)
        if not wait_for_end(pid, 10):
            raise LabError(f"process {pid} does not end, even killed: look at /proc/{pid}/stack")

    def _noted(self) -> int | None:
        try:
            return int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

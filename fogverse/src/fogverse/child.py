"""A worker process as its parent holds it: started, greeted, killed, reaped."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe

from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.plan import Hello, Plan

#: Seconds that a worker whose connection is closed has to end by itself.
END_S = 1.0


class Child:
    """One process that runs ``fogverse.worker``. It must be reaped by the thread that started it.

    Linux ends a process that is bound to its parent with the *thread* that started it.

    Args:
        plan: what the worker is told.
        claims: descriptor of the pipe that it claims messages from.

    Attributes:
        connection: to send messages and receive answers.

    Raises:
        Fault: the system starts no process.
    """

    def __init__(self, plan: Plan, claims: int) -> None:
        self._plan = plan
        self.connection: Connection
        self.connection, theirs = Pipe()
        command = [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-m", "fogverse.worker"]
        descriptors = (theirs.fileno(), claims)
        try:
            # A group of its own: Ctrl-C at the terminal is for the parent, and a kill takes along what it started.
            self._process = subprocess.Popen(
                [*command, *map(str, descriptors), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                process_group=0,
            )
        except OSError as error:
            self.connection.close()
            raise Fault(ExitCode.CALLABLE_FAILED, f"cannot start worker {plan.number}: {error}") from error
        finally:
            theirs.close()

    def greet(self) -> None:
        """Tell the worker what it has to know, and wait until it has imported the callable.

        Raises:
            Fault: it cannot, or dies over it; it has been reaped then.
        """
        try:
            self.connection.send_bytes(pickle.dumps(tuple(self._plan)))
            hello: Hello = pickle.loads(self.connection.recv_bytes())  # noqa: S301 -- from our own worker
        except (EOFError, OSError):
            text = f"worker {self._plan.number} {self.reap()} while it imported {self._plan.entrypoint}"
            raise Fault(ExitCode.CALLABLE_FAILED, text) from None
        if hello is not None:
            self.reap()
            raise Fault(ExitCode(hello[0]), hello[1])

    def kill(self) -> None:
        """End it now, with what it has started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def reap(self) -> str:
        """Hang up and wait for its end, or bring it about; says how it ended."""
        self.connection.close()
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name}{hint}"

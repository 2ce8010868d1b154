"""TCP ports of this machine."""

from __future__ import annotations

import errno
import socket

from lab.errors import LabError


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now, whose successor is free as well (a broker takes both)."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind((host, 0))
            port: int = first.getsockname()[1]
            try:
                second.bind((host, port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise LabError(f"no two neighbouring free ports on {host}: end some servers")


def require_free(host: str, port: int) -> None:
    """Make sure a server can listen on ``host:port``, as seen from the thread's network namespace.

    Raises:
        LabError: somebody else does already, or the address is not of this machine.
    """
    with socket.socket() as probe:
        # What a restarted server does: connections of its predecessor may still be in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise LabError(
                    f"port {port} on {host} is in use by another process: end it, or choose another port"
                ) from None
            raise LabError(f"cannot listen on {host}:{port}: {problem.strerror}") from None


def accepts(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether something accepts a connection on ``host:port``."""
    try:
        with socket.create_connection((host, port), timeout_s):
            return True
    except OSError:
        return False

"""Telling systemd how the process is doing: one datagram of ``NAME=value`` lines, as sd_notify(3) describes it.

Protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html, "Notes" (the socket's address) and
"Well-known assignments". Own lines, since the C library is not on every device and the protocol is stable.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

#: Seconds that sending may wait for a service manager that is busy.
SEND_S = 1.0


class Notifier:
    """Sends to the socket that the service manager has named. A failure is logged once and harms nothing.

    Args:
        address: as in ``NOTIFY_SOCKET``: a path, or ``@name`` in the abstract namespace.

    Raises:
        ValueError: the address is neither.
    """

    def __init__(self, address: str) -> None:
        if address[:1] not in {"/", "@"}:
            raise ValueError(f"NOTIFY_SOCKET={address}: a path, or @ and a name, is needed")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(SEND_S)
        self._failed = False

    def send(self, *assignments: str) -> None:
        """Send assignments, e.g. ``READY=1``, in one datagram. From any thread."""
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("systemd cannot be told %s: %s", assignments[0], error)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def notifier(environ: MutableMapping[str, str]) -> Notifier | None:
    """The service manager of this process; None if none wants to be told.

    Takes ``NOTIFY_SOCKET`` out of the environment: a child's messages would be refused, each with a line in the log.
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    if not address:
        return None
    try:
        return Notifier(address)
    except ValueError as error:
        log.warning("systemd is not told anything: %s", error)
        return None


def watchdog_s(environ: MutableMapping[str, str], pid: int) -> float | None:
    """Seconds within which systemd wants a sign of life from this process; None if it does not.

    Source: https://www.freedesktop.org/software/systemd/man/latest/sd_watchdog_enabled.html.
    """
    text, owner = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not text.isdecimal() or not int(text) or owner not in {"", str(pid)}:
        return None
    return int(text) / 1e6

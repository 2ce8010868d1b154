"""One probe of one device: phases with a deadline each, and everything closed at the end."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, NoReturn

import paramiko

from orchestrator.inventory.connection import Connection
from orchestrator.ssh.reasons import UnknownHostKey, reason, timed_out

#: Paramiko reports to this logger what we report ourselves, in words of our own.
_LOG = "orchestrator.ssh.paramiko"
logging.getLogger(_LOG).setLevel(logging.CRITICAL)

#: The phase in which a thread is out of reach.
RESOLVING = "resolving its name"
_MOST_OUTPUT = 1_000_000
_JOIN_S = 2.0


def known_hosts_file(named: Path | None) -> Path:
    """The file of trusted host keys: the inventory's, else the user's own."""
    return named or Path("~/.ssh/known_hosts").expanduser()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from a device.

    Attributes:
        output: the script's output; None when it did not run to its end.
        reason: why not; empty when it did.
        asked: the master's clock just before the script was sent, seconds since 1970.
        answered: the master's clock when the first of its output was there.
    """

    output: str | None
    reason: str
    asked: float = 0.0
    answered: float = 0.0


class Session:
    """A connection to one device, used by one thread and watched by another.

    ``ask`` blocks its thread; ``expire``, called by the watching thread, closes the connection when the phase
    under way has lasted too long, which makes ``ask`` return. This covers the waits of paramiko that know no
    timeout. Only the resolving of a name cannot be cut short: then the session is ``stuck``.

    Args:
        connection: the device.
        known_hosts: the host keys that are trusted.
        timeout_s: deadline of each phase.
        clock: the master's clock, seconds since 1970.
        script: what to ask, in plain sh.
    """

    def __init__(
        self, connection: Connection, known_hosts: Path, timeout_s: float, clock: Callable[[], float], script: str
    ) -> None:
        self._connection, self._known_hosts, self._script = connection, known_hosts, script
        self._timeout_s, self._clock = timeout_s, clock
        self._phase, self._since = "", 0.0
        self._overdue = ""
        self._socket: socket.socket | None = None
        self._client = paramiko.SSHClient()

    def ask(self) -> Answer:
        """Connect, run the script, close. Never raises: what goes wrong is the answer's reason."""
        try:
            self._connect()
            return self._run()
        except TimeoutError:
            return Answer(None, timed_out(self._timeout_s, self._overdue or self._phase))
        except Exception as error:  # whatever paramiko raises is a reason why this device cannot be probed
            if self._overdue:
                return Answer(None, timed_out(self._timeout_s, self._overdue))
            return Answer(None, reason(error, self._connection, self._known_hosts, self._phase))
        finally:
            self._phase = ""
            self._close()

    def expire(self) -> None:
        """Close the connection if the phase under way is over its time; for the watching thread."""
        phase = self._phase
        if phase and not self._overdue and time.monotonic() - self._since > self._timeout_s:
            self._overdue = phase
            self._cut()

    @property
    def stuck(self) -> bool:
        """Whether the thread hangs in the resolver, out of reach, past its deadline."""
        return self._overdue == self._phase == RESOLVING

    def _enter(self, phase: str) -> None:
        self._since = time.monotonic()
        self._phase = phase

    def _connect(self) -> None:
        link = self._connection
        self._enter(RESOLVING)
        addresses = socket.getaddrinfo(link.host, link.port, type=socket.SOCK_STREAM)
        self._enter("connecting")
        self._reach(addresses)
        self._enter("the SSH greeting")
        if self._known_hosts.is_file():
            self._client.load_host_keys(str(self._known_hosts))
        self._client.set_missing_host_key_policy(_Reject())
        self._client.set_log_channel(_LOG)
        # Our own deadline comes first: paramiko's words for its timeouts are those for a refusal.
        last_resort = 2 * self._timeout_s
        self._client.connect(
            link.host,
            link.port,
            username=link.user,
            password=link.password,
            key_filename=str(link.key_file) if link.key_file else None,
            look_for_keys=link.key_file is None and link.password is None,
            sock=self._socket,
            timeout=last_resort,
            banner_timeout=last_resort,
            auth_timeout=last_resort,
            channel_timeout=last_resort,
            transport_factory=self._transport,
        )

    def _reach(self, addresses: list[Any]) -> None:
        """Connect to the first address that accepts, all within one deadline."""
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            left = self._timeout_s - (time.monotonic() - self._since)
            self._socket = socket.socket(family, kind, protocol)
            self._socket.settimeout(max(left, 0.001))
            try:
                return self._socket.connect(address)
            except OSError:
                self._socket.close()
                if index == len(addresses) - 1:
                    raise
        return None

    def _transport(self, sock: Any, /, **options: Any) -> paramiko.Transport:
        return _Transport(sock, self._enter, **options)

    def _run(self) -> Answer:
        transport = self._client.get_transport()
        if transport is None:  # cut between two phases
            raise TimeoutError
        self._enter("the command")
        channel = transport.open_session()
        asked = self._clock()
        channel.exec_command(self._script)
        output = channel.recv(_MOST_OUTPUT)
        answered = self._clock()
        while len(output) < _MOST_OUTPUT and (more := channel.recv(_MOST_OUTPUT)):
            output += more
        code = channel.recv_exit_status()
        if not output or self._overdue:
            raise paramiko.SSHException(f"the command gave no output (exit code {code}); is the shell a plain sh?")
        return Answer(output.decode(errors="replace"), "", asked, answered)

    def _close(self) -> None:
        transport = self._client.get_transport()
        self._cut()
        self._client.close()
        if transport is not None:
            transport.packetizer.complete_handshake()  # ends its timer thread, if the greeting was cut short
            transport.join(_JOIN_S)

    def _cut(self) -> None:
        """End every read and write on the connection, whichever thread is in it."""
        if self._socket is not None:
            with suppress(OSError):  # the other side was faster
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()


class _Transport(paramiko.Transport):
    """Says when authentication begins: the one phase that happens inside ``SSHClient.connect``."""

    def __init__(self, sock: Any, enter: Callable[[str], None], **options: Any) -> None:
        super().__init__(sock, **options)
        self._enter = enter

    def start_client(self, event: Event | None = None, timeout: float | None = None) -> None:
        super().start_client(event, timeout)
        self._enter("authentication")


class _Reject(paramiko.RejectPolicy):
    """Reject with the key that was shown, so that the reason can hold its fingerprint."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> NoReturn:  # noqa: ARG002
        raise UnknownHostKey(key)

"""What systemd is told: readiness, status, signs of life, the stop; on a real socket, with a clock that is set."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fogverse.kafka_config import LONGEST_CALL_S
from fogverse.lifecycle import Lifecycle
from fogverse.meter import Reading
from fogverse.notify import notifier, watchdog_s
from fogverse.serial import Serial
from fogverse.stopping import Stopping

IDLE = Reading(1.0, 0, 0, 0, 0.0, 0, None)


class Systemd:
    """The other end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """Datagrams since the last question."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """Both kinds of addresses that systemd uses: containers have abstract ones."""
    made = Systemd(str(tmp_path / "notify") if request.param == "path" else f"@fogverse-{os.getpid()}-{tmp_path.name}")
    yield made
    made.close()


class Told:
    """A lifecycle of an instance with a watchdog of 30 s, and its clock."""

    def __init__(self, systemd: Systemd) -> None:
        self.now = 100.0
        self.changes = 0
        self.stopping = Stopping(20, lambda: self.now)
        told = notifier({"NOTIFY_SOCKET": systemd.address})
        self.lifecycle = Lifecycle(told, 30.0, self.stopping, self._changed, lambda: self.now)
        self.lifecycle.allow(60.0)

    def _changed(self) -> None:
        self.changes += 1

    def beats(self, seconds: int, reading: Reading = IDLE) -> None:
        for _ in range(seconds):
            self.now += 1
            self.lifecycle.beat(reading)


@pytest.fixture
def told(systemd: Systemd) -> Iterator[Told]:
    made = Told(systemd)
    yield made
    made.lifecycle.close()


def test_a_member_without_a_partition_is_ready_and_says_so_once(systemd: Systemd, told: Told) -> None:
    """Else `systemctl start` of one more instance than partitions would hang until it fails."""
    told.lifecycle.joining("analyzer", 120)
    assert systemd.heard() == ["EXTEND_TIMEOUT_USEC=150000000\nSTATUS=joining group analyzer"]
    told.lifecycle.owns(0)
    told.lifecycle.owns(1)
    assert systemd.heard() == ["READY=1\nSTATUS=member, owns no partition"]
    assert told.changes == 2


def test_the_status_shows_partitions_rate_and_work(systemd: Systemd, told: Told) -> None:
    """Else `systemctl status` says no more than that a process exists."""
    told.lifecycle.owns(2)
    systemd.heard()
    told.beats(1)
    told.beats(6, Reading(1.0, 12, 12, 0, 0.9, 3, 5.0, stuck=("in[0]@7",)))
    status = [text for text in systemd.heard() if text.startswith("STATUS=")]
    assert status[1] == (
        "STATUS=owns 2 partitions, 12.0 messages/s, 3 in flight, 12 done, 0 failed, fetching; stuck: in[0]@7"
    )
    assert "72 done" in status[-1]
    assert len(status) == 3, "the first message at once, then one in five seconds: a device's systemd has more to do"


def test_the_status_says_when_every_partition_has_been_fetched_from(systemd: Systemd, told: Told) -> None:
    """Lost: an upgrade that takes a member which nobody has answered for one that has nothing to do."""
    told.lifecycle.owns(1)
    told.beats(1)
    assert any(text.endswith("0 done, 0 failed, fetching") for text in systemd.heard())
    told.lifecycle.fetching(False)
    told.beats(1, Reading(1.0, 0, 0, 1, 0.9, 0, None))
    assert any(text.endswith("0 in flight, 0 done, 1 failed") for text in systemd.heard())


def test_signs_of_life_come_at_a_third_of_the_time_and_end_with_the_loop_s(systemd: Systemd, told: Told) -> None:
    """Else systemd restarts what works, or never what is wedged."""
    for _ in range(60):
        told.beats(1)
        told.lifecycle.seen()
    alive = systemd.heard().count("WATCHDOG=1")
    assert 6 <= alive <= 7
    told.beats(60)
    assert systemd.heard().count("WATCHDOG=1") >= 5, "the loop may be silent so long"
    told.beats(120)
    assert systemd.heard() == [], "it is wedged, and nothing may hide that"


def test_a_drain_counts_as_alive_and_is_told_once(systemd: Systemd, told: Told) -> None:
    """A long drain has a deadline of its own; killed by the watchdog, it would make others repeat its work."""
    told.stopping.request("SIGTERM")
    told.lifecycle.stops()
    told.beats(90)
    heard = systemd.heard()
    assert heard[0] == "STOPPING=1\nSTATUS=draining (SIGTERM), at most 20 s"
    assert sum("STOPPING=1" in text for text in heard) == 1
    assert heard.count("WATCHDOG=1") >= 8


def test_a_slow_message_in_the_loop_itself_is_not_taken_for_a_wedged_loop() -> None:
    """The loop is silent while it calls: killed for that, a message of two minutes would never be finished."""
    assert Serial.silent_s > LONGEST_CALL_S


def test_without_systemd_nothing_is_told_and_nothing_fails(systemd: Systemd) -> None:
    """By hand and in programs it must run as before."""
    lifecycle = Lifecycle.of_process({}, Stopping(20), lambda: None)
    lifecycle.joining("g", 1)
    lifecycle.owns(1)
    lifecycle.beat(IDLE)
    lifecycle.stops()
    lifecycle.close()
    assert systemd.heard() == []


def test_children_do_not_inherit_the_socket_and_another_process_watchdog_is_not_ours(systemd: Systemd) -> None:
    """Else each worker process speaks to systemd, which refuses it with a line in the log each time."""
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1", "HOME": "/"}
    made = notifier(environ)
    assert made is not None
    made.close()
    assert watchdog_s(environ, os.getpid()) is None
    assert environ == {"HOME": "/"}
    assert watchdog_s({"WATCHDOG_USEC": "30000000"}, 1) == 30


def test_a_socket_that_is_gone_or_no_address_is_told_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert notifier({"NOTIFY_SOCKET": "vsock:2:99"}) is None
    made = notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert made is not None
    made.send("READY=1")
    made.send("WATCHDOG=1")
    made.close()
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert "a path, or @ and a name, is needed" in texts[0]
    assert "systemd cannot be told READY=1" in texts[1]

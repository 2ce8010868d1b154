"""Locks and files of the lab under competition and failure."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lab import files
from lab.errors import LabError
from lab.keys import Keys
from lab.locks import locked


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    """A full disk must not turn a device's record into half a record."""
    file = tmp_path / "record"
    files.write(file, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write(file, "new\udcff")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_a_lock_that_its_holder_deletes_still_excludes_the_next(tmp_path: Path) -> None:
    """ "purge" deletes the folder with its lock while "up" waits for it: they must not run at once."""
    lock, inside, order = tmp_path / "lock", threading.Event(), []

    def second() -> None:
        inside.wait(10)
        with locked(lock, timeout_s=10):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with locked(lock):
        inside.set()
        lock.unlink()
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_lock_that_is_not_freed_is_named(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(LabError, match=r"another command has held .*lock"):  # noqa: SIM117
        with locked(tmp_path / "lock", timeout_s=0.1):
            pytest.fail("two holders")


def test_known_hosts_of_others_stay(tmp_path: Path) -> None:
    """What a user has enrolled by hand must survive the next "lab up"."""
    keys = Keys(tmp_path)
    keys.known_hosts.write_text("real-pi ssh-ed25519 AAAAmine\n10.77.0.11 ssh-ed25519 AAAAold\n")
    keys.publish({"10.77.0.11": "ssh-ed25519 AAAAnew pi-1"})
    assert keys.known_hosts.read_text() == "real-pi ssh-ed25519 AAAAmine\n10.77.0.11 ssh-ed25519 AAAAnew\n"


def test_the_end_of_a_long_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert files.tail(log, lines=2) == "line 9998\nline 9999"
    assert files.tail(tmp_path / "none") == ""

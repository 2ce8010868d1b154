"""The CSV file of Profiling: whatever happens to the file, its rows are whole or counted as missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fogverse.compat.csv_file import CsvFile

HEADER = ["a", "b"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_restart_appends_and_other_columns_begin_anew(tmp_path: Path) -> None:
    """Else a restart would destroy what was measured, or mix columns in one file."""
    path = tmp_path / "new" / "log.csv"
    for row in ([1, "x,y"], [2, None]):
        file = CsvFile(path, HEADER)
        file.add(row)
        file.close()
    assert path.read_text() == 'a,b\n1,"x,y"\n2,\n'
    other = CsvFile(path, ["c"])
    other.add([3])
    other.close()
    assert path.read_text() == "c\n3\n"
    assert path.with_name("log.csv.1").read_text().startswith("a,b\n")


def test_a_full_device_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The kernel's own full device: every write fails."""
    file = CsvFile(Path("/dev/full"), HEADER, retry_s=0)
    for number in range(3):
        file.add([number, ""])
        until(lambda wanted=number + 1: file.lost == wanted)  # type: ignore[misc]
    file.close()
    assert [r.levelname for r in caplog.records if "cannot be written" in r.message] == ["ERROR"]
    assert "No space left on device" in caplog.text
    assert "3 rows are missing" in caplog.text


def test_it_is_written_again_when_it_can_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A card that has been cleared must be used again, and the log must say what is missing."""
    folder = tmp_path / "logs"
    folder.write_text("in the way")
    file = CsvFile(folder / "log.csv", HEADER, retry_s=0)
    file.add([1, 1])
    until(lambda: file.lost == 1)
    folder.unlink()
    file.add([2, 2])
    until(lambda: "is written again; 1 rows are missing" in caplog.text)
    file.close()
    assert (folder / "log.csv").read_text() == "a,b\n2,2\n"


def test_a_half_row_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a program that reads the file takes the beginning of a number for the number."""
    import os  # noqa: PLC0415

    real = os.write
    path = tmp_path / "log.csv"
    file = CsvFile(path, HEADER)
    file.add([1, 1])
    until(lambda: path.exists() and path.read_text() == "a,b\n1,1\n")
    monkeypatch.setattr(os, "write", lambda to, block: real(to, block[:2]))
    file.add([22, 22])
    until(lambda: file.lost == 1)
    file.close()
    assert path.read_text() == "a,b\n1,1\n"


def test_two_programs_do_not_write_one_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Else the one would cut off the other's rows."""
    first, second = (CsvFile(tmp_path / "log.csv", HEADER) for _ in range(2))
    first.add([1, 1])
    until((tmp_path / "log.csv").exists)
    second.add([2, 2])
    until(lambda: second.lost == 1)
    first.close()
    second.close()
    assert "give each a name= or dirname= of its own" in caplog.text


def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the log itself fills the card."""
    monkeypatch.setattr("fogverse.compat.csv_file.LARGEST", 40)
    path = tmp_path / "log.csv"
    for number in range(5):
        file = CsvFile(path, HEADER)
        file.add([number, "x" * 20])
        file.close()
    assert path.stat().st_size <= 40
    assert path.with_name("log.csv.1").read_text().startswith("a,b\n")


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """A thread that stays would keep a program from ending."""
    before = threading.active_count()
    file = CsvFile(tmp_path / "log.csv", HEADER)
    file.add([1, 1])
    file.close()
    file.add([2, 2])
    assert threading.active_count() == before

"""`fogverse check` without a broker: settings, callable, exit codes, misspelt variables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fogverse import broker_check, cli, journal
from fogverse.setting_table import TABLE
from fogverse.settings import misspelt

ENOUGH = ["--bootstrap-servers", "127.0.0.1:1", "--source-topic", "in", "--group-id", "g"]


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with callables, no settings in the environment, and little patience with a broker that is away."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("logging.root.handlers", [])
    monkeypatch.setattr("logging.root.level", 30)
    monkeypatch.setattr(broker_check, "ASK_S", 0.1)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)
    (tmp_path / "stage_check.py").write_text("def good(message): ...\ndef two(a, b): ...\nasync def later(m): ...\n")


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    exit_code = cli.main(["check", *arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == exit_code
    return exit_code, {row["subject"]: (row["level"], row["text"]) for row in told["checks"]}


def test_a_broker_that_is_away_is_exit_code_4_and_the_rest_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code, told = checked(capsys, "stage_check:later", *ENOUGH)
    assert exit_code == 4
    assert told["settings"][0] == told["memory"][0] == "ok"
    assert told["callable stage_check:later"] == ("ok", "imported, a coroutine function that takes one message")
    assert told["broker 127.0.0.1:1"][0] == "fail"


@pytest.mark.parametrize(("name", "text"), [("two", "cannot be called with one message"), ("none", "has no none")])
def test_a_callable_of_the_wrong_shape_is_exit_code_3(capsys: pytest.CaptureFixture[str], name: str, text: str) -> None:
    """`run` would only find out at the first message, and again after each restart."""
    exit_code, told = checked(capsys, f"stage_check:{name}", *ENOUGH)
    assert exit_code == 3
    assert text in told[f"callable stage_check:{name}"][1]


def test_settings_come_first_and_the_broker_is_not_asked_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = cli.main(["check", "stage_check:two", "--workers", "none"])
    lines = capsys.readouterr().out.splitlines()
    assert exit_code == 2
    assert [line[:4] for line in lines] == ["fail"] * 5
    assert "FOGVERSE_WORKERS=none (--workers): a whole number from 1 to 1024 is needed" in lines[3]
    assert "callable stage_check:two" in lines[4]


@pytest.mark.parametrize("ordering", ["key", "partition"])
def test_growth_of_an_ordered_topic_is_exit_code_2_with_the_alternatives(
    capsys: pytest.CaptureFixture[str], ordering: str
) -> None:
    """Grown, keys would move to other partitions while their older messages are worked on."""
    assert cli.main(["run", *ENOUGH, "--ordering", ordering, "--autoscale", "stage_check:good"]) == 2
    assert "use more workers in each process, or stop its producers" in capsys.readouterr().err


def test_a_misspelt_variable_is_named_with_the_one_that_is_meant(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service would run with a default, and nobody would know."""
    assert misspelt({"FOGVERSE_WORKRES": "4", "FOGVERSE_CONFIG": "x", "FOGVERSE_WORKERS": "4", "PATH": "/"}) == [
        "FOGVERSE_WORKRES is no setting and is ignored: is FOGVERSE_WORKERS meant?"
    ]
    assert misspelt({"FOGVERSE_ELSEWHERE_ALTOGETHER": "1"}) == [
        "FOGVERSE_ELSEWHERE_ALTOGETHER is no setting and is ignored"
    ]
    monkeypatch.setenv("FOGVERSE_WORKRES", "4")
    _exit_code, told = checked(capsys, "stage_check:good")
    assert told["settings"] == ("warn", "FOGVERSE_WORKRES is no setting and is ignored: is FOGVERSE_WORKERS meant?")
    assert cli.main(["run", "stage_check:good"]) == 2
    assert "is FOGVERSE_WORKERS meant?" in capsys.readouterr().err


def test_told_to_stop_while_the_code_is_imported_it_ends_cleanly(tmp_path: Path) -> None:
    """Killed instead, a drain right after a start would look like a failure."""
    (tmp_path / "stage_slow.py").write_text(
        "import pathlib, time\npathlib.Path('begun').touch()\n"
        "try:\n    time.sleep(60)\nexcept BaseException:\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "fogverse", "run", "stage_slow:process", *ENOUGH]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_lines_have_priorities_only_where_the_journal_reads_them(tmp_path: Path) -> None:
    """JOURNAL_STREAM is inherited: in a file that a unit's script redirects to, each line would begin with <6>."""
    with (tmp_path / "log").open("w") as log:
        found = os.fstat(log.fileno())
        assert journal.is_journal(f"{found.st_dev}:{found.st_ino}", log.fileno())
        assert not journal.is_journal("1:2", log.fileno())
        assert not journal.is_journal("", log.fileno())
    assert not journal.is_journal("1:2", -1)

"""Around the loop: finding the callable, the log, being stopped, and that package and pages agree."""

from __future__ import annotations

import logging
import threading
import tomllib
from pathlib import Path

import pytest

import fogverse
from fogverse import ExitCode
from fogverse.entrypoint import load
from fogverse.faults import Fault
from fogverse.journal import JournalFormatter
from fogverse.security import MEANINGS, PREFIX
from fogverse.setting_table import TABLE
from fogverse.stopping import DrainGuard, Stopping
from fogverse.throttle import QuietFilter
from orchestrator.project import PROJECT


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("fogverse", level, "", 0, text, None, None)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched for modules, as the artifact of a release is."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_callable_is_found(code: Path) -> None:
    (code / "stage_ok.py").write_text("def process(message): return message.value\n")
    assert load("stage_ok:process").__name__ == "process"


@pytest.mark.parametrize(
    ("entrypoint", "source", "text"),
    [
        ("stage_form", "", "package.module:callable"),
        ("nowhere.stage:process", "", "No module named 'nowhere' (is its folder in PYTHONPATH?)"),
        ("stage_needs:process", "import missing_library", "in the artifact's requirements.txt?"),
        ("stage_raises:process", "raise RuntimeError('no\\nmodel')", "RuntimeError: no model"),
        ("stage_lacks:process", "", "has no process"),
        ("stage_value:process", "process = 3", "process is a int, not a callable"),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_line(code: Path, entrypoint: str, source: str, text: str) -> None:
    """Else the journal of a device shows a traceback and no mend."""
    (code / f"{entrypoint.partition(':')[0]}.py").write_text(source)
    with pytest.raises(Fault) as caught:
        load(entrypoint)
    assert caught.value.code is ExitCode.NO_CALLABLE
    assert text in caught.value.text
    assert "\n" not in caught.value.text


def test_each_line_for_the_journal_has_its_priority() -> None:
    """Else the journal shows errors as notices, and the lines of a traceback without any priority."""
    formatter = JournalFormatter("%(message)s")
    assert formatter.format(record("one\ntwo", logging.ERROR)) == "<3>one\n<3>two"
    assert formatter.format(record("odd", logging.WARNING)) == "<4>odd"
    assert formatter.format(record("fine")) == "<6>fine"
    assert formatter.format(record("", logging.DEBUG)) == "<7>"


def test_librdkafka_says_each_kind_of_thing_once_and_leaves_failures_to_the_callbacks() -> None:
    quiet = QuietFilter()
    said = [quiet.filter(record(text)) for text in ("GETPID [x] a", "GETPID [x] b", "SESSTMOUT [x]", "FAIL [x]")]
    assert said == [True, False, True, False]


def test_only_the_first_request_to_stop_counts() -> None:
    """Else an impatient second Ctrl-C would give the drain more time, or less."""
    now = 10.0
    stopping = Stopping(20, lambda: now)
    assert (stopping.requested, stopping.remaining_s) == (False, 20)
    stopping.request("SIGTERM")
    now = 15.0
    stopping.request("SIGINT")
    assert (stopping.requested, stopping.reason, stopping.remaining_s) == (True, "SIGTERM", 15)
    now = 99.0
    assert stopping.remaining_s == 0


def test_the_guard_acts_only_on_a_drain_that_overruns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fogverse.stopping.GRACE_S", 0.0)
    acted = threading.Event()
    stuck = Stopping(0.01)
    guard = DrainGuard(stuck, acted.set)
    guard.start()
    stuck.request("SIGTERM")
    assert acted.wait(5)
    guard.close()

    acted.clear()
    quick = Stopping(60)
    guard = DrainGuard(quick, acted.set)
    guard.start()
    quick.request("SIGTERM")
    guard.close()
    assert not acted.is_set()


def test_the_version_is_the_distribution_s() -> None:
    """Else a device tells another version than was installed on it."""
    project = tomllib.loads((PROJECT / "fogverse" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert fogverse.__version__ == project["version"]


def test_the_page_names_every_setting_and_exit_code() -> None:
    page = (PROJECT / "docs" / "runtime.md").read_text(encoding="utf-8")
    for setting in TABLE:
        assert f"`{setting.variable}`" in page
        assert f"`{setting.flag}`" in page
    for name in MEANINGS:
        assert f"`{PREFIX}{name.upper()}`" in page
    for code in ExitCode:
        assert f"| {int(code)} | {code.name} |" in page

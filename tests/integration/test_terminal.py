"""Deploying and draining at a real terminal: what stands on the screen, and what Ctrl-C leaves behind."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.netns import entered
from orchestrator.act.actuator import GRACE_S
from orchestrator.ansible.server import children
from orchestrator.cli.progress_view import _ENDING
from orchestrator.project import PROJECT
from tests.integration.terminal import CTRL_C, Screen, Terminal
from tests.integration.test_master import PROGRAMS, Fleet, raised

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

DEVICES = ("pi-1", "pi-2", "pi-3")
DEPLOY = ("deploy", "slow", "-l", ",".join(DEVICES))
CONNECTING = r"^pi-2 +[1-9]\d* s  connecting, starting"
_COLOUR = re.compile(r"\x1b\[[\d;]*[349]\dm")


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three prepared devices."""
    with raised(tmp_path_factory.mktemp("terminal"), device_base, jars, len(DEVICES)) as fleet:
        with entered(fleet.lab.hub_netns):
            cluster = fleet.cluster()
            for topic, partitions in (("in", 3), ("out", 1)):
                cluster.create(topic, partitions)
            cluster.close()
        yield fleet


@pytest.fixture(autouse=True)
def drained(fleet: Fleet) -> Iterator[None]:
    """No test begins with what another has started."""
    yield
    fleet.lab.thaw("pi-2")
    fleet.orchestrator("drain", "slow")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for the temporary files of one command; sockets are in it, so its path must be short."""
    folder = Path(tempfile.mkdtemp(prefix="fv-"))
    yield folder
    shutil.rmtree(folder)


def command(fleet: Fleet, *arguments: str) -> list[str]:
    return [str(PROGRAMS / "orchestrator"), "-i", str(fleet.inventory), *arguments]


@contextmanager
def frozen(fleet: Fleet, device: str) -> Iterator[None]:
    fleet.lab.freeze(device)
    try:
        yield
    finally:
        fleet.lab.thaw(device)


def processes_of(folder: Path) -> list[int]:
    """Everything that was started, however indirectly, by the command that has ``folder`` for its temporary files."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"TMPDIR={folder}".encode() in environment:
                found.append(int(entry.name))
    return found


def assert_nothing_is_left(folder: Path) -> None:
    """No process, no connection and no file; what has been told to end has a moment for it."""
    end = time.monotonic() + 5
    for pid in processes_of(folder):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        os.close(descriptor)
    left = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in processes_of(folder)]
    assert left == []
    assert list(folder.iterdir()) == []


def of(device: str, lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.strip().startswith(f"{device} ")]


def seconds_of(device: str, screen: Screen) -> int:
    """Seconds that its line shows; 0 while there is none."""
    found = [re.match(rf"{device} +(\d+) s  ", line) for line in screen.lines]
    return next((int(one[1]) for one in found if one), 0)


def told(screen: Screen) -> str:
    """Everything that has stayed, also above the window; lines that were too long for it put together."""
    return "".join([*screen.scrolled, *screen.lines])


def test_each_device_has_one_line_that_is_redrawn_and_the_summary_is_all_that_stays(fleet: Fleet) -> None:
    """Lost otherwise: what is going on now, in a window full of what went on before."""
    with Terminal(command(fleet, *DEPLOY), folder=PROJECT) as terminal:
        with frozen(fleet, "pi-2"):
            terminal.wait_for(lambda screen: seconds_of("pi-2", screen) > 0)
            early = seconds_of("pi-2", terminal.screen)
            lines = terminal.wait_for(lambda screen: seconds_of("pi-2", screen) > early + 1)
            assert lines[0] == "deploy slow, at most 180 s"
            assert len(lines) == 1 + len(DEVICES)
            assert [len(of(device, lines)) for device in DEVICES] == [1, 1, 1]
            assert not terminal.screen.cursor_shown
        assert terminal.ended() == 0, terminal.screen.lines
    lines = terminal.screen.lines
    assert [len(of(device, lines)) for device in DEVICES] == [1, 1, 1]
    assert re.match(r"deploy slow: 3 started in [\d.]+ s", lines[3]), lines
    assert lines[4].startswith("the whole output: ")
    assert terminal.screen.scrolled == []
    assert terminal.screen.cursor_shown


def test_a_small_window_shows_who_is_late_and_is_not_garbled(fleet: Fleet) -> None:
    """Lost otherwise: the one device that hangs, below the edge of a phone's screen or behind a line that wraps."""
    with frozen(fleet, "pi-2"), Terminal(command(fleet, *DEPLOY), rows=5, columns=40, folder=PROJECT) as terminal:
        lines = terminal.wait_for(lambda screen: seconds_of("pi-2", screen) > 3)
        assert len(lines) == 4, lines
        assert lines[3].startswith("and 1 "), lines
        assert max(map(len, lines)) < 40
        terminal.press(b"\n")  # an impatient key, which scrolls
        terminal.press(CTRL_C)
        terminal.wait_for_line(re.escape(_ENDING))
        assert terminal.ended() == 130
    stays = told(terminal.screen)
    assert "deploy slow: interrupted: " in stays
    assert stays.count(_ENDING) <= 1, "but for the line that the key has scrolled away"
    assert terminal.screen.cursor_shown


def test_colours_and_redrawing_are_left_out_where_they_are_not_wanted(fleet: Fleet) -> None:
    """Lost otherwise: a log of a nightly job, or a serial console, full of escape sequences."""
    drain = command(fleet, "drain", "slow", "-l", "pi-1")
    with Terminal(command(fleet, "deploy", "slow", "-l", "pi-1"), folder=PROJECT) as coloured:
        assert coloured.ended() == 0
    assert _COLOUR.search(coloured.raw) is not None
    with Terminal(drain, folder=PROJECT, environ={"NO_COLOR": "1"}) as plain:
        assert plain.ended() == 0
    assert _COLOUR.search(plain.raw) is None
    assert " drained " in told(plain.screen)
    with Terminal(drain, folder=PROJECT, environ={"TERM": "dumb"}) as dumb:
        assert dumb.ended() == 0
    assert "\x1b" not in dumb.raw
    assert "pi-1: connecting, " in dumb.raw
    forced = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run(drain, capture_output=True, text=True, check=True, cwd=PROJECT, env=forced, timeout=120)
    assert "\x1b" not in done.stderr, "FORCE_COLOR asks for colours, not for a file that is redrawn"
    assert "pi-1: connecting, " in done.stderr


def test_the_first_ctrl_c_says_what_goes_on_and_leaves_nothing_here(fleet: Fleet, temporary: Path) -> None:
    """Lost otherwise: an operator who does not know what runs now, and connections that nobody closes."""
    environ = {"TMPDIR": str(temporary)}
    with frozen(fleet, "pi-2"), Terminal(command(fleet, *DEPLOY), folder=PROJECT, environ=environ) as terminal:
        terminal.wait_for_line(CONNECTING)
        assert len(processes_of(temporary)) > 2
        terminal.press(CTRL_C)
        assert terminal.ended() == 130
        assert_nothing_is_left(temporary)
    stays = told(terminal.screen)
    assert "in the middle of 'Start the instances': what the device was told already goes on there" in stays
    assert "deploy slow: interrupted: " in stays
    assert "what runs now: orchestrator device list" in stays
    assert terminal.screen.cursor_shown


def test_the_second_ctrl_c_ends_at_once_what_does_not_end_by_itself(fleet: Fleet, temporary: Path) -> None:
    """Lost otherwise: a way out when even the way out hangs; and whoever takes it is left with a broken terminal."""
    environ = {"TMPDIR": str(temporary)}
    with frozen(fleet, "pi-2"), Terminal(command(fleet, *DEPLOY), folder=PROJECT, environ=environ) as terminal:
        terminal.wait_for_line(CONNECTING)
        [run] = [
            pid for server in children(terminal.process.pid) for pid in children(server) if "ssh: " not in name_of(pid)
        ]
        os.kill(run, signal.SIGSTOP)
        pressed = time.monotonic()
        terminal.press(CTRL_C)
        terminal.wait_for_line(re.escape(_ENDING))
        terminal.press(CTRL_C)
        assert terminal.ended() == 130
        assert time.monotonic() - pressed < GRACE_S, "the grace was waited for"
        assert_nothing_is_left(temporary)
    stays = told(terminal.screen)
    assert "in the middle of 'Start the instances': what the device was told already goes on there" in stays
    assert "what runs now: orchestrator device list" in stays
    assert "Traceback" not in stays
    assert terminal.screen.cursor_shown


def test_a_window_that_is_closed_takes_everything_with_it(fleet: Fleet, temporary: Path) -> None:
    """Lost otherwise: Ansible without anybody who looks on, after a lost connection to the controller."""
    environ = {"TMPDIR": str(temporary)}
    with frozen(fleet, "pi-2"), Terminal(command(fleet, *DEPLOY), folder=PROJECT, environ=environ) as terminal:
        terminal.wait_for_line(CONNECTING)
        terminal.hang_up()
        assert terminal.process.wait(20) != 0
        assert_nothing_is_left(temporary)


def test_ctrl_c_before_anything_has_begun_says_no_more_than_that(fleet: Fleet, temporary: Path) -> None:
    """Lost otherwise: a page of Python, for a command that was mistyped."""
    with Terminal(command(fleet, *DEPLOY), folder=PROJECT, environ={"TMPDIR": str(temporary)}) as terminal:
        end = time.monotonic() + 20
        while not any("orchestrator.inventory_child" in name_of(pid) for pid in processes_of(temporary)):
            assert time.monotonic() < end
        terminal.press(CTRL_C)
        assert terminal.ended() == 130
        assert_nothing_is_left(temporary)
    assert terminal.screen.lines[-1] == "interrupted"
    assert "Traceback" not in terminal.raw


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""

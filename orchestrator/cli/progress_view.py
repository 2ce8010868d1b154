"""A run while it goes on: a line per device, redrawn in a terminal, one after the other anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.constrain import Constrain
from rich.live import Live
from rich.text import Text

from orchestrator.cli.tables import clock_time, printable
from orchestrator.clock import Clock
from orchestrator.core.progress import IDLE_S, HostProgress, Progress

#: Where lines are not redrawn: how often a device that is still at the same thing is named.
REMIND_S = 10.0
_LOOK_S = 0.5
#: Lines of a terminal that are not for devices: the head, the sum of those that are left out, the prompt.
_SPARE_ROWS = 3
#: Room for the ``^C`` that a terminal writes behind the last line: where it began another, erasing would miscount.
_SPARE_COLUMNS = 3
#: No longer than the narrowest terminals.
_ENDING = "ending Ansible; Ctrl-C again kills it"
_STYLES = {"unreachable": "red", "failed": "red", "done": "green", "waiting": "dim"}


class View(Protocol):
    """Shows how far a run has come, inside its ``with`` block."""

    def show(self, progress: Progress) -> None:
        """This is how far it is now."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def redraws(console: Console) -> bool:
    """Whether what is written to it can be erased again: a terminal that understands more than text.

    ``FORCE_COLOR`` makes rich take a file for a terminal; it asks for colours, and not for a file full of erasures.
    """
    return console.file.isatty() and not console.is_dumb_terminal


class Board:
    """A table that is redrawn in place."""

    def __init__(self, console: Console, head: str, progress: Progress, clock: Clock, stop: threading.Event) -> None:
        """Prepare.

        Args:
            console: a terminal.
            head: what is being done, and its deadline.
            progress: before the run.
            clock: time.
            stop: whether the run is being ended.
        """
        self._console, self._head, self._progress = console, head, progress
        self._clock, self._stop = clock, stop
        self._live = Live(get_renderable=self._drawn, console=console, transient=True, refresh_per_second=4)

    def show(self, progress: Progress) -> None:
        """This is how far it is now."""
        self._progress = progress

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _drawn(self) -> Constrain:
        head, size = _ENDING if self._stop.is_set() else self._head, self._console.size
        table = drawn(self._progress, self._clock.now(), head, size.height - _SPARE_ROWS)
        return Constrain(table, max(1, size.width - _SPARE_COLUMNS))


class Lines:
    """A line for every change, and a reminder of what takes long."""

    def __init__(
        self, say: Callable[[str], None], deadline_s: float, progress: Progress, clock: Clock, stop: threading.Event
    ) -> None:
        """Prepare.

        Args:
            say: is told each line.
            deadline_s: of the whole run.
            progress: before the run.
            clock: time.
            stop: whether the run is being ended.
        """
        self._say, self._deadline_s, self._progress = say, deadline_s, progress
        self._clock, self._stop = clock, stop
        self._told: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._remind, name="progress", daemon=True)

    def show(self, progress: Progress) -> None:
        """This is how far it is now."""
        with self._lock:
            self._progress = progress
            self._tell()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _remind(self) -> None:
        ending = False
        while not self._clock.wait(self._over, _LOOK_S):
            if self._stop.is_set() and not ending:
                ending = True
                self._say(f"{clock_time(self._clock.now())} {_ENDING}")
            with self._lock:
                self._tell()

    def _tell(self) -> None:
        now = self._clock.now()
        for name, host in self._progress.hosts.items():
            if host.began_at is None or not (host.at_work or host.ended_at is not None or now - host.since >= IDLE_S):
                continue  # between two tasks
            phase = host.phase(now)
            before, at = self._told.get(name, ("", now))
            if phase != before:
                seconds = f" after {host.seconds(now):.1f} s" if host.ended_at is not None else ""
                reason = f": {printable(host.reason)}" if host.reason else ""
                self._say(f"{clock_time(now)} {name}: {phase}{seconds}{reason}")
            elif host.ended_at is None and now - max(at, host.since) >= REMIND_S:
                deadline = f"the deadline of all is {self._deadline_s:g} s"
                self._say(f"{clock_time(now)} {name}: still {phase}, {host.seconds(now):.0f} s; {deadline}")
            else:
                continue
            self._told[name] = (phase, now)


def drawn(progress: Progress, now: float, head: str, most: int) -> Group:
    """A line per device: those under way first, those that failed next; what has no room is counted.

    What a narrow terminal cuts off is the end of a line: the reason, then the phase. A table of rich's would take
    from all columns alike, and of the names nothing would be left beside a long reason.

    Args:
        progress: how far the run is.
        now: seconds since the epoch.
        head: the line above.
        most: devices that there is room for.
    """
    ranked = sorted(progress.hosts.items(), key=lambda row: _rank(row[1]))
    rows = ranked[: max(1, most)]
    phases = [host.phase(now) for _, host in rows]
    names, widest = max(len(name) for name, _ in rows), max(len(phase) for phase in phases)
    lines = [_line(head, "bold")]
    for (name, host), phase in zip(rows, phases, strict=True):
        seconds = "" if host.began_at is None else f"{host.seconds(now):.0f} s"
        line = _line(f"{name:<{names}}  {seconds:>6}  ")
        line.append(f"{phase:<{widest}}", _STYLES.get(phase, ""))
        if host.reason:
            line.append(f"  {printable(host.reason)}", "red")
        lines.append(line)
    if left := _counted(dict(ranked[len(rows) :]), now):
        lines.append(_line(f"and {left}", "dim"))
    return Group(*lines[: max(1, most + _SPARE_ROWS - 1)])  # of a window of three lines, two


def _line(text: str, style: str = "") -> Text:
    """One line, however narrow the terminal is."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _rank(host: HostProgress) -> int:
    if host.verdict != "ok":
        return 1
    if host.began_at is None:
        return 2
    return 3 if host.ended_at is not None else 0


def _counted(hosts: Mapping[str, HostProgress], now: float) -> str:
    phases = [host.phase(now) for host in hosts.values()]
    return ", ".join(f"{phases.count(phase)} {phase}" for phase in dict.fromkeys(phases))

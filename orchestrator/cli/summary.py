"""What is said when a run is over: each device's outcome, the exit code, and where the whole output is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from orchestrator.cli.tables import printable
from orchestrator.core.outcome import HostResult
from orchestrator.errors import EXIT_DEVICE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK

_WELL = {"started": "green", "drained": "green", "upgraded": "green", "changed": "green", "staged": "green"}
#: Where to look when it is not known how far a device got.
_LOOK = "what runs now: orchestrator device list"


@dataclass(frozen=True, slots=True)
class Summary:
    """A run that is over.

    Attributes:
        title: what was done.
        results: how it ended on each device.
        seconds: how long the whole took.
        log: file of the whole output.
        interrupted: whether somebody broke it off.
        error: why it failed as a whole; None when it ran to its end.
        note: what else the operator should know; empty for nothing.
    """

    title: str
    results: tuple[HostResult, ...]
    seconds: float
    log: Path
    interrupted: bool = False
    error: str | None = None
    note: str = ""

    @property
    def code(self) -> int:
        """The exit code: interrupted, else something failed, else a device could not be reached, else all well."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        ill = {result.outcome for result in self.results if not result.well}
        if self.error is not None or ill - {"unreachable"}:
            return EXIT_FAILED
        return EXIT_DEVICE if ill else EXIT_OK

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return {**asdict(self), "log": str(self.log), "exit_code": self.code}

    def view(self) -> Text:
        """The summary for a terminal: a line per device, the worst last, where it is still seen."""
        hosts = max((len(result.host) for result in self.results), default=0)
        outcomes = max((len(result.outcome) for result in self.results), default=0)
        text = Text()
        for result in sorted(self.results, key=lambda one: not one.well):
            style = "red" if not result.well else _WELL.get(result.outcome, "")
            seconds = f"{result.seconds:.1f} s" if result.seconds else ""
            text += Text(f"  {result.host:<{hosts}}  ") + Text(f"{result.outcome:<{outcomes}}", style)
            text += Text(f"  {seconds:>7}  {_words(result)}\n")
        return text + Text("\n").join(Text(line) for line in self._lines())

    def _lines(self) -> Iterable[str]:
        how = "interrupted: " if self.interrupted else ""
        yield f"{self.title}: {how}{_counted(self.results)} in {self.seconds:.1f} s"
        if self.error is not None and not self.interrupted:
            yield f"error: {printable(self.error)}"
        yield f"the whole output: {self.log}"
        if self.interrupted or self.error is not None:
            yield _LOOK
        if self.note:
            yield f"note: {self.note}"


def _words(result: HostResult) -> str:
    words = printable(result.words)
    if result.outcome in ("failed", "rolled-back") and result.task:
        return f"{words} (task '{result.task}')"
    return words


def _counted(results: Sequence[HostResult]) -> str:
    outcomes = [result.outcome for result in results]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))

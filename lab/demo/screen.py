"""What the demo shows: sentences as they happen, and below them the live table of `orchestrator status`."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from orchestrator.cli.tables import status_view
from orchestrator.status import Status

#: Where output is no terminal, the table is printed this often instead of being redrawn.
PLAIN_EVERY_S = 10.0


class Screen:
    """The demo's terminal; use it as a context manager."""

    def __init__(self) -> None:
        self._console = Console(width=None if Console().is_terminal else 150)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._began = time.monotonic()
        self._next_table = 0.0

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, sentence: str, style: str = "") -> None:
        """One line of the story, with the seconds since the beginning."""
        self._console.print(Text(f"[{time.monotonic() - self._began:5.1f} s] ", style="dim") + Text(sentence, style))

    def show(self, status: Status) -> None:
        """The table as it is now."""
        if self._live is not None:
            self._live.update(status_view(status), refresh=True)
        elif time.monotonic() >= self._next_table:
            self._next_table = time.monotonic() + PLAIN_EVERY_S
            self._console.print(status_view(status))

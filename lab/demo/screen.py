"""What the demo shows: sentences as they happen, and below them the live table of `orchestrator status`."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from types import TracebackType

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator.cli.tables import status_view
from orchestrator.status import Status

#: Where output is no terminal, the table is printed this often instead of being redrawn.
PLAIN_EVERY_S = 10.0


class Screen:
    """The demo's terminal; use it as a context manager."""

    def __init__(self) -> None:
        self._told: list[RenderableType] = []
        self._shown: Status | None = None
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
        line = Text(f"[{time.monotonic() - self._began:5.1f} s] ", style="dim") + Text(sentence, style)
        self._told.append(line)
        self._console.print(line)

    def show(self, status: Status) -> None:
        """The table as it is now."""
        self._shown = status
        if self._live is not None:
            self._live.update(status_view(status), refresh=True)
        elif time.monotonic() >= self._next_table:
            self._next_table = time.monotonic() + PLAIN_EVERY_S
            self._console.print(status_view(status))

    def keep_table(self) -> None:
        """Let the picture show the table as it is at this point of the story."""
        if self._shown is not None:
            self._told.append(status_view(self._shown))

    def picture(self, file: Path) -> None:
        """Write what was told, with the kept tables, as an SVG that needs nothing from outside."""
        console = Console(width=130, record=True, file=io.StringIO(), force_terminal=True)
        for part in self._told:
            console.print(part)
        without_fonts = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        file.write_text(console.export_svg(title="make demo", code_format=without_fonts), encoding="utf-8")

"""A terminal as a person sees it: a program under a real pseudo-terminal, and what stands on the screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

CTRL_C = b"\x03"
_ESCAPE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")
_PIECE = 65_536
#: What a program must not inherit from whoever runs the tests.
_FOREIGN = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}


class Screen:
    """Rows of characters, moved about in by the escape sequences that rich writes; another one is an error."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.scrolled: list[str] = []
        self.cursor_shown = True
        self._cells = [[" "] * columns for _ in range(rows)]
        self._x = self._y = 0
        self._rest = ""

    @property
    def lines(self) -> list[str]:
        """What stands on it, without empty lines at its end."""
        text = ["".join(row).rstrip() for row in self._cells]
        while text and not text[-1]:
            text.pop()
        return text

    def feed(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._put(text[at])
                at += 1
            elif found := _ESCAPE.match(text, at):
                self._obey(found[1], found[2])
                at = found.end()
            else:
                self._rest = text[at:]  # the end of it has not been read yet
                assert len(self._rest) < 20, f"not understood: {self._rest!r}"
                return

    def _put(self, character: str) -> None:
        if character == "\r":
            self._x = 0
        elif character == "\n":
            self._down()
        elif character.isprintable():
            if self._x == self.columns:  # as terminals do: the next line begins with the character that needs it
                self._x = 0
                self._down()
            self._cells[self._y][self._x] = character
            self._x += 1

    def _down(self) -> None:
        if self._y + 1 < self.rows:
            self._y += 1
            return
        self.scrolled.append("".join(self._cells.pop(0)).rstrip())
        self._cells.append([" "] * self.columns)

    def _obey(self, numbers: str, letter: str) -> None:
        match letter, numbers:
            case "A", _:
                self._y = max(0, self._y - int(numbers or 1))
            case "K", "2":
                self._cells[self._y] = [" "] * self.columns
            case (("h" | "l"), "?25"):
                self.cursor_shown = letter == "h"
            case "m", _:
                return
            case _:
                pytest.fail(f"not understood: ESC [ {numbers} {letter}")


class Terminal:
    """Runs a program in a session of its own, whose terminal this is; closed at the end of its ``with`` block."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        rows: int = 24,
        columns: int = 80,
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.screen, self.raw = Screen(rows, columns), ""
        self._changed = threading.Condition()
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._before = termios.tcgetattr(theirs)
        self._theirs = theirs
        kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        kept |= {"TERM": "xterm-256color", **(environ or {})}
        # Only the leader of a session can have the terminal, and with it Ctrl-C, to itself.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=kept,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    def press(self, keys: bytes) -> None:
        """What somebody types."""
        os.write(self._mine, keys)

    def wait_for(self, seen: Callable[[Screen], bool], timeout_s: float = 40) -> list[str]:
        """The lines on the screen when it looks as wanted."""
        end = time.monotonic() + timeout_s
        with self._changed:
            while not seen(self.screen):
                left = end - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    pytest.fail("the screen:\n" + "\n".join(self.screen.lines))
                self._changed.wait(min(left, 0.2))
            return self.screen.lines

    def wait_for_line(self, pattern: str, timeout_s: float = 40) -> str:
        """The first line on the screen that matches."""
        found = re.compile(pattern)
        lines = self.wait_for(lambda screen: any(found.search(line) for line in screen.lines), timeout_s)
        return next(line for line in lines if found.search(line))

    def ended(self, timeout_s: float = 120) -> int:
        """Wait for the program's end; returns its exit code, when all that it has written stands on the screen."""
        code = self.process.wait(timeout_s)
        assert termios.tcgetattr(self._theirs) == self._before, "the terminal is not as it was"
        self._let_go()
        self._thread.join(10)
        return code

    def hang_up(self) -> None:
        """Close the window that it is in."""
        self._let_go()
        if self._mine >= 0:
            os.close(self._mine)
            self._mine = -1

    def _let_go(self) -> None:
        if self._theirs >= 0:
            os.close(self._theirs)
            self._theirs = -1

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody has the other end any more
            while piece := os.read(self._mine, _PIECE):
                text = piece.decode(errors="replace")  # no character of the tests' is cut in two: it is ASCII
                with self._changed:
                    self.raw += text
                    self.screen.feed(text)
                    self._changed.notify_all()

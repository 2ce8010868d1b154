"""What ends a run before anyone asked it to stop."""

from __future__ import annotations

from fogverse.exit_codes import ExitCode


class Fault(Exception):  # noqa: N818 -- a fault of the surroundings, not of this code
    """One reason to end the run, with the exit code it deserves.

    Attributes:
        code: exit code of the process.
        text: one line for the log that says what to mend.
    """

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

"""An Ansible run in a thread of its own, so that what it brings about can be watched while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator.act.run import RunOutcome


class Launch:
    """One run under way."""

    def __init__(self, carry_out: Callable[[], RunOutcome]) -> None:
        """Begin."""
        self._outcome: RunOutcome | None = None
        self._error: BaseException | None = None
        self._carry_out = carry_out
        self._thread = threading.Thread(target=self._run, name="launch")
        self._thread.start()

    def wait(self) -> None:
        """Return when it has ended."""
        self._thread.join()

    def outcome(self) -> RunOutcome | None:
        """How it ended; None while it goes on.

        Raises:
            BaseException: whatever the run has raised.
        """
        if self._error is not None:
            raise self._error
        return self._outcome

    def _run(self) -> None:
        try:
            self._outcome = self._carry_out()
        except BaseException as error:  # raised where the outcome is asked for
            self._error = error

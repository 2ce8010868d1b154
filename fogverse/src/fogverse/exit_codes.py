"""How a run ended, as the process' exit code: systemd, the playbooks and people read it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of ``fogverse run`` and the values ``Executor.run`` returns.

    Attributes:
        OK: drained and left: everything processed is acknowledged and committed.
        BAD_SETTINGS: settings are missing or wrong; every problem has been logged.
        NO_CALLABLE: the callable cannot be imported, or is none.
        REFUSED: the broker refuses for good: access, a topic that stays unknown, an output it will not take.
        DRAIN_OVERRUN: the drain timeout passed first; what was not committed will be processed again.
        CALLABLE_FAILED: the callable failed on a message. That message is not committed, all before it are.
        FENCED: exactly-once: another process has this instance's transactions by now. Nothing uncommitted counts.
    """

    OK = 0
    BAD_SETTINGS = 2
    NO_CALLABLE = 3
    REFUSED = 4
    DRAIN_OVERRUN = 5
    CALLABLE_FAILED = 6
    FENCED = 7

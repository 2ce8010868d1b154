"""What a worker process is told, and what crosses its border."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from fogverse.message import Output


class Plan(NamedTuple):
    """What a worker process has to know before its first message.

    Attributes:
        entrypoint: the callable, ``module:name`` or ``/path/to/program.py:name``.
        path: the parent's ``sys.path``: the worker finds what the parent finds.
        in_batches: the callable takes a list of messages.
        target_topic: where outputs go that name no topic.
        ordering: after a failure, messages that must follow the failed one are not begun.
        log_level: least important lines to log.
        number: which of the workers it is, from 1.
    """

    entrypoint: str
    path: tuple[str, ...]
    in_batches: bool
    target_topic: str | None
    ordering: str
    log_level: str
    number: int = 0


class Failure(NamedTuple):
    """Why a call failed, in words: not every exception can leave its process.

    Attributes:
        reason: exception and text, one line.
        trace: its traceback.
    """

    reason: str
    trace: str


class Answer(NamedTuple):
    """What came of one message.

    Attributes:
        outputs: what the callable returned.
        failure: why it failed.
        together: messages that the call was about; 0: it was not called, since one before it in its lane failed.
        started_s: when the call began, monotonic seconds, which all processes of a machine share.
        ended_s: when it ended.
    """

    outputs: list[Output]
    failure: Failure | None
    together: int
    started_s: float
    ended_s: float


#: What a worker sends once after its start: None, or the exit code and text of what keeps it from working.
Hello: TypeAlias = tuple[int, str] | None
#: What it sends later: answers, in the order of the messages, and whether it is done with what it was given.
Reply: TypeAlias = tuple[list[Answer], bool]

"""A callable that failed on a message: when it is tried again, and what is told about it."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable

from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.message import Message, Output

log = logging.getLogger(__name__)

#: Seconds that a retry is put off at most.
LONGEST_S = 30.0
#: Characters of a traceback kept in a dead letter: its end, which names the error.
TRACE = 8_000


def reason(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def delay_s(failures: int, first_s: float, chance: Callable[[], float] = random.random) -> float:
    """Seconds until a message on which the callable has failed ``failures`` times is tried again.

    It doubles with each failure up to ``LONGEST_S``; jitter takes up to half of it away, so that what failed
    together does not come back together.
    """
    return min(LONGEST_S, first_s * 2.0 ** min(failures - 1, 30)) * (1 - chance() / 2)


def dead_letter(message: Message, error: BaseException, attempts: int, topic: str) -> Output:
    """The record for the dead-letter topic: the original, and in headers why and where it failed."""
    trace = "".join(traceback.format_exception(error))[-TRACE:]
    told = {
        "reason": reason(error)[:TRACE],
        "traceback": trace,
        "source-topic": message.topic,
        "source-partition": str(message.partition),
        "source-offset": str(message.offset),
        "attempts": str(attempts),
    }
    headers = tuple((f"fogverse-{name}", text.encode(errors="replace")) for name, text in told.items())
    return Output(message.value, message.key, message.headers + headers, topic)


def failed_call(message: Message, error: BaseException) -> Fault:
    """The fault that ends a run whose callable failed on a message."""
    log.debug("traceback of the failure on %s", message.place, exc_info=error)
    return Fault(
        ExitCode.CALLABLE_FAILED,
        f"the callable failed on {message.place}: {reason(error)} (not committed; FOGVERSE_LOG_LEVEL=debug "
        "shows the traceback)",
    )

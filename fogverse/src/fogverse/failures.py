"""A callable that failed on a message: when it is tried again, and what is told about it."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable

from confluent_kafka import KafkaError

from fogverse.assignment import Ticket
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.kafka_errors import is_bad_record, is_unknown_topic
from fogverse.message import Message, Output

log = logging.getLogger(__name__)

#: Seconds that a retry is put off at most.
LONGEST_S = 30.0
#: Characters of a traceback kept in a dead letter: its end, which names the error.
TRACE = 8_000

#: Is given an output that no broker takes; gives the dead letter to write instead, or None where none is wanted.
TooLarge = Callable[[Ticket, Output, KafkaError], Output | None]


class FailedElsewhere(Exception):  # noqa: N818 -- tells of an error, is none of this process
    """A call that failed in another process, which tells of it in words.

    Attributes:
        reason: the exception there, or how the process ended, in one line.
        trace: the traceback there.
    """

    def __init__(self, reason: str, trace: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trace = trace


class TooLargeError(ValueError):
    """An output that neither the producer nor any broker takes, since it is too large."""


def reason(error: BaseException) -> str:
    """An exception in one line."""
    return error.reason if isinstance(error, FailedElsewhere) else " ".join(f"{type(error).__name__}: {error}".split())


def trace(error: BaseException) -> str:
    """The end of its traceback, at most ``TRACE`` characters."""
    told = error.trace if isinstance(error, FailedElsewhere) else "".join(traceback.format_exception(error))
    return told[-TRACE:]


def delay_s(failures: int, first_s: float, chance: Callable[[], float] = random.random) -> float:
    """Seconds until a message on which the callable has failed ``failures`` times is tried again.

    It doubles with each failure up to ``LONGEST_S``; jitter takes up to half of it away, so that what failed
    together does not come back together.
    """
    return min(LONGEST_S, first_s * 2.0 ** min(failures - 1, 30)) * (1 - chance() / 2)


def dead_letter(message: Message, error: BaseException, attempts: int, topic: str) -> Output:
    """The record for the dead-letter topic: the original, and in headers why and where it failed."""
    told = {
        "reason": reason(error)[:TRACE],
        "traceback": trace(error),
        "source-topic": message.topic,
        "source-partition": str(message.partition),
        "source-offset": str(message.offset),
        "attempts": str(attempts),
    }
    headers = tuple((f"fogverse-{name}", text.encode(errors="replace")) for name, text in told.items())
    return Output(message.value, message.key, message.headers + headers, topic)


def failed_call(message: Message, error: BaseException) -> Fault:
    """The fault that ends a run whose callable failed on a message."""
    log.debug("traceback of the failure on %s\n%s", message.place, trace(error))
    return Fault(
        ExitCode.CALLABLE_FAILED,
        f"the callable failed on {message.place}: {reason(error)} (not committed; FOGVERSE_LOG_LEVEL=debug "
        "shows the traceback)",
    )


def undeliverable(error: KafkaError, ticket: Ticket) -> Fault:
    """Why an output of a message, or its dead letter, will never be delivered."""
    place = ticket.message.place
    if ticket.dead:
        return Fault(
            ExitCode.CALLABLE_FAILED,
            f"the callable failed on {place}, and its dead letter cannot be written: {error.str()} (not committed)",
        )
    if is_bad_record(error):
        return Fault(
            ExitCode.CALLABLE_FAILED, f"an output for {place} is not acceptable: {error.str()} (not committed)"
        )
    hint = "; create the topic" if is_unknown_topic(error) else ""
    return Fault(ExitCode.REFUSED, f"an output for {place} cannot be delivered: {error.str()}{hint}")

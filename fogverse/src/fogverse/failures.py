"""A callable that failed on a message, in words."""

from __future__ import annotations

import logging

from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.message import Message

log = logging.getLogger(__name__)


def reason(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def failed_call(message: Message, error: BaseException) -> Fault:
    """The fault that ends a run whose callable failed on a message."""
    log.debug("traceback of the failure on %s", message.place, exc_info=error)
    return Fault(
        ExitCode.CALLABLE_FAILED,
        f"the callable failed on {message.place}: {reason(error)} (not committed; FOGVERSE_LOG_LEVEL=debug "
        "shows the traceback)",
    )

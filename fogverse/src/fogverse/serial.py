"""Working on one message at a time, in the thread of the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.message import Message, Output, Returned, outputs_of
from fogverse.meter import Meter

log = logging.getLogger(__name__)


class SerialWorker:
    """Calls the callable, which keeps every order there is: by partition and hence by key.

    Attributes:
        capacity: messages worked on at once.
    """

    capacity = 1

    def __init__(self, process: Callable[[Message], Returned], meter: Meter, target_topic: str | None) -> None:
        self._process = process
        self._meter = meter
        self._target_topic = target_topic

    def run(self, message: Message) -> list[Output]:
        """The outputs for one message. Blocks as long as the callable does.

        Raises:
            Fault: the callable raised, or returned what is no output.
        """
        self._meter.call_began()
        try:
            # A generator does its work while it is read: that is the callable's time and its failure too.
            return outputs_of(self._process(message), message, self._target_topic)
        except (Exception, SystemExit) as error:
            self._meter.message_failed()
            log.debug("traceback of the failure on %s", message.place, exc_info=True)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise Fault(
                ExitCode.CALLABLE_FAILED,
                f"the callable failed on {message.place}: {reason} (not committed; FOGVERSE_LOG_LEVEL=debug "
                "shows the traceback)",
            ) from error
        finally:
            self._meter.call_ended()

"""A thread for calls that wait for the broker, so that the loop goes on serving its group."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeAlias

from confluent_kafka import KafkaError, KafkaException

#: Seconds that one try of most calls may take; ending waits twice as long at most.
TRY_S = 0.5
#: Seconds between two tries of a call that the broker could not answer yet.
PAUSE_S = 0.05
#: A call that takes how long it may wait, in seconds, and may be repeated after a retriable error.
Call: TypeAlias = Callable[[float], object]


class Caller:
    """Makes one blocking call at a time, again and again while its error is retriable.

    The loop's thread asks and looks for the answer before it asks for the next.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Call, float] | None] = SimpleQueue()
        self._answers: SimpleQueue[KafkaError | None] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fogverse-transactions", daemon=True)
        self._thread.start()

    def ask(self, call: Call, try_s: float = TRY_S) -> None:
        """Have a call made, each try lasting at most ``try_s`` seconds."""
        self._asked.put((call, try_s))

    def answer(self) -> tuple[KafkaError | None] | None:
        """What became of it: None as long as it is under way, else a tuple with its error or None."""
        try:
            return (self._answers.get_nowait(),)
        except Empty:
            return None

    def leave(self) -> None:
        """Let the thread end by itself, once the present try is over."""
        self._closing.set()
        self._asked.put(None)

    def close(self) -> None:
        """End the thread after the present try."""
        self.leave()
        self._thread.join(2 * TRY_S)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            self._answers.put(self._make(*asked))

    def _make(self, call: Call, try_s: float) -> KafkaError | None:
        while True:
            try:
                call(try_s)
            except KafkaException as failed:
                error: KafkaError = failed.args[0]
                if error.fatal() or error.txn_requires_abort() or not error.retriable() or self._closing.is_set():
                    return error
                self._closing.wait(PAUSE_S)
            else:
                return None

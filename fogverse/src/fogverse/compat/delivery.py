"""One message of the source on its way through a node, and the acknowledgements of what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError
from contextvars import ContextVar
from typing import Any

from fogverse.compat.record import ConsumerRecord, RecordMetadata
from fogverse.message import Output


class Acknowledgement:
    """Awaits the broker's acknowledgement of one record; gives its ``RecordMetadata``. Most are never awaited.

    Args:
        delivery: the message in whose course it is sent; None if in no message's.
    """

    def __init__(self, delivery: Delivery | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._delivery = delivery
        self._future: asyncio.Future[RecordMetadata] | None = None
        self._told: RecordMetadata | Exception | None = None

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        delivery = self._delivery
        if delivery is not None and not delivery.settled and asyncio.current_task() is delivery.task:
            raise RuntimeError(
                "an output is produced when its message's turn is over, so awaiting its acknowledgement within that "
                "turn would never end: use callback=, a task, or producer.send_and_wait()"
            )
        if self._future is None:
            self._future = self._loop.create_future()
        self._resolve()
        return self._future.__await__()

    def delivered(self, topic: str, partition: int, offset: int) -> None:
        """The broker has it. From any thread."""
        self._tell(RecordMetadata(topic, partition, offset))

    def failed(self, error: Exception) -> None:
        """It will never be delivered. From any thread."""
        self._tell(error)

    def _tell(self, told: RecordMetadata | Exception) -> None:
        self._told = told  # in this order: __await__ makes the future first and looks at this second
        if self._future is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        if self._future is None or self._told is None or self._future.done():
            return
        if isinstance(self._told, Exception):
            self._future.set_exception(self._told)
        else:
            self._future.set_result(self._told)


class Delivery:
    """A consumed record from being handed to the node until its turn is over.

    The engine's call waits for it in another thread: what is collected here is produced by the engine, and only when
    all of it is acknowledged the record's position is committed.

    Attributes:
        record: the record.
        outputs: what the node sends in its course.
        awaited: acknowledgements that its turn waits for: those of another cluster, which the engine does not see.
        task: the task that has its turn.
        settled: the turn is over.
        servers: where the engine produces to.
    """

    def __init__(self, record: ConsumerRecord, servers: str) -> None:
        self.record = record
        self.servers = servers
        self.outputs: list[Output] = []
        self.awaited: list[Acknowledgement] = []
        self.task: asyncio.Task[Any] | None = None
        self.settled = False
        self.answer: Future[list[Output]] = Future()

    def begin(self) -> bool:
        """Start its turn; False if the engine has given it up already."""
        self.task = asyncio.current_task()
        return self.answer.set_running_or_notify_cancel()

    async def finish(self) -> None:
        """Its turn is over: hand its outputs to the engine."""
        self.settled = True
        for acknowledgement in self.awaited:
            await acknowledgement
        self._answer(self.outputs, None)

    def fail(self, error: BaseException) -> None:
        """Its turn has failed: the engine retries, buries or stops, as it is set."""
        self.settled = True
        self._answer([], error)

    def _answer(self, outputs: list[Output], error: BaseException | None) -> None:
        try:
            if error is None:
                self.answer.set_result(outputs)
            else:
                self.answer.set_exception(error)
        except InvalidStateError:
            pass  # given up by the engine meanwhile: whoever has the partition now repeats it


#: The message in whose course the running code was called.
CURRENT: ContextVar[Delivery | None] = ContextVar("delivery", default=None)

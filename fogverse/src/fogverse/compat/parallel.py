"""FogVerse's loop with a pool of processes: several messages at once, each through the hooks."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextvars import ContextVar
from typing import Any

from fogverse.compat.calls import hook
from fogverse.compat.delivery import CURRENT, Delivery
from fogverse.compat.node import Node
from fogverse.compat.pool import WorkerPool
from fogverse.compat.runnable import decoded, emit
from fogverse.exit_codes import ExitCode

_RECEIVED: ContextVar[Any] = ContextVar("received", default=None)


class Processor(ABC):
    """The work of a ``ParallelRunnable``, done in other processes: it must be picklable, and so must its data."""

    @abstractmethod
    def process(self, data: Any) -> Any:
        """Decoded data in, result out."""


class ParallelRunnable(Node):
    """Receives and decodes in the event loop, processes in other processes, encodes and sends in the event loop.

    The hooks are those of ``Runnable``, in the same order for each message; several messages are between
    ``_before_process`` and ``_after_send`` at once. ``self.message`` is the message in whose course the running code
    was called.
    """

    @property
    def message(self) -> Any:
        """The message of the running code."""
        return _RECEIVED.get()

    @message.setter
    def message(self, received: Any) -> None:
        _RECEIVED.set(received)

    async def run(self, process_number: int, max_running_task: int, processor: Processor) -> ExitCode:
        """Run until SIGTERM, SIGINT, ``stop()`` or an error, then drain. Returns how it ended, for ``sys.exit``.

        Args:
            process_number: processes that work.
            max_running_task: messages begun and not finished; those beyond ``process_number`` wait for a process.
            processor: the work.

        Raises:
            ValueError: a number is below 1.
        """
        if process_number < 1 or max_running_task < 1:
            raise ValueError(
                f"process_number={process_number}, max_running_task={max_running_task}: both must be 1 or more"
            )
        if self._member is not None:
            self._member.workers = max_running_task
        self._room = asyncio.Semaphore(max_running_task)
        self._running: set[asyncio.Task[None]] = set()
        self._processor = processor
        self._pool = WorkerPool(process_number)
        try:
            # Before the group is joined: what the processes import would else hold up the first messages.
            await self._pool.start()
            return await self._lead(self._turns)
        finally:
            await self._pool.close()

    async def _turns(self) -> None:
        try:
            while not self._ends:
                await self._turn()
        finally:
            for task in self._running if self._member is not None and self._member.ended else ():
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)
        if self._failure is not None and self._member is None:
            raise self._failure

    async def _turn(self) -> None:
        await hook(self, "_before_receive")
        self.message = await self._received()
        if self.message is None:
            await asyncio.sleep(0)  # a source that has nothing must not hold up the loop
            return
        delivery, self._delivery = self._delivery, None
        token = CURRENT.set(delivery)
        try:
            await hook(self, "_after_receive", self.message)
            data = await decoded(self, self.message)
            await self._room.acquire()
            task = asyncio.create_task(self._offload(delivery, data))
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            await self._settle(delivery, error)
            if delivery is None or isinstance(error, asyncio.CancelledError):
                raise
        else:
            if delivery is not None:
                delivery.task = task
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        finally:
            CURRENT.reset(token)

    async def _offload(self, delivery: Delivery | None, data: Any) -> None:
        try:
            await hook(self, "_before_process", data)
            result = await self._pool.run(self._processor.process, data)
            await hook(self, "_after_process", result)
            await emit(self, result)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            await self._settle(delivery, error)
            if delivery is None:
                self.stop("its work has failed")
        else:
            await self._settle(delivery, None)
        finally:
            self._room.release()

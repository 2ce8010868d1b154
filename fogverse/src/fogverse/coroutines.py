"""Workers on an event loop: for coroutine functions, hundreds of which cost less than a few threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from time import monotonic

from fogverse.job import Job
from fogverse.message import Message, Returned, outputs_of
from fogverse.meter import Meter
from fogverse.threads import JOIN_S


class Coroutines:
    """Awaits a coroutine function, several times at once, on an event loop in a thread of its own.

    Args:
        process: the coroutine function.
        workers: calls at the same time.
        target_topic: where outputs go that name no topic.
        meter: told when a call begins and ends; a call that awaits counts as busy.
        done: where jobs go after their call, and those that were dropped before it.
    """

    def __init__(
        self,
        process: Callable[[Message], Awaitable[Returned]],
        workers: int,
        target_topic: str | None,
        meter: Meter,
        done: SimpleQueue[Job],
    ) -> None:
        self._process = process
        self._workers = workers
        self._target_topic = target_topic
        self._meter = meter
        self._done = done
        self._given: asyncio.Queue[Job] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fogverse-coroutines", daemon=True)

    def start(self) -> None:
        """Start the event loop."""
        self._thread.start()

    def give(self, job: Job) -> None:
        """Queue a job."""
        self._loop.call_soon_threadsafe(self._given.put_nowait, job)

    def close(self) -> None:
        """Cancel what is still being awaited and end the loop; a call that blocks the loop is left behind."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        await self._over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            job = await self._given.get()
            if not job.dropped:
                await self._call(job)
            self._done.put(job)
            del job  # a worker that waits must not keep the last message in memory

    async def _call(self, job: Job) -> None:
        message = job.ticket.message
        job.error = None
        job.started_s = monotonic()
        job.ended_s = 0.0  # in this order: the loop looks for calls that last
        self._meter.call_began()
        try:
            job.outputs = outputs_of(await self._process(message), message, self._target_topic)
        except (Exception, SystemExit) as error:
            job.error = error
        except asyncio.CancelledError as error:
            if self._over.is_set():
                raise
            job.error = error  # cancelled by its own doing, not by ours: a failure like any other
        finally:
            self._meter.call_ended()
            job.ended_s = monotonic()

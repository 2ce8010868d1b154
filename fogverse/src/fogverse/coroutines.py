"""Workers on an event loop: for coroutine functions, hundreds of which cost less than a few threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any

from fogverse.call import Call
from fogverse.job import Job
from fogverse.meter import Meter
from fogverse.threads import JOIN_S, Crew, begun, ended, failed


class Coroutines(Crew):
    """Awaits a coroutine function, several times at once, on an event loop in a thread of its own.

    Args:
        process: the coroutine function.
        workers: calls at the same time.
        call: whether it takes one message or a list, and what it may return.
        meter: told when a call begins and ends; a call that awaits counts as busy.
        done: where jobs go after their call, and those that were dropped before it.
    """

    def __init__(
        self,
        process: Callable[[Any], Awaitable[object]],
        workers: int,
        call: Call,
        meter: Meter,
        done: SimpleQueue[list[Job]],
    ) -> None:
        self._process = process
        self._workers = workers
        self._shape = call
        self._meter = meter
        self._done = done
        self._handed: deque[list[Job]] = deque()
        self._knocked = False
        self._given: asyncio.Queue[list[Job]] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fogverse-coroutines", daemon=True)

    def start(self) -> None:
        """Start the event loop."""
        self._thread.start()

    def give(self, jobs: list[Job]) -> None:
        """Queue jobs."""
        self._handed.append(jobs)
        if not self._knocked:
            self._knocked = True  # once for all that is handed over until the event loop looks: a system call each
            self._loop.call_soon_threadsafe(self._take)

    def close(self) -> None:
        """Cancel what is still being awaited and end the loop; a call that blocks the loop is left behind."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(JOIN_S)

    def _take(self) -> None:
        self._knocked = False  # before looking: what is handed over from now on knocks again
        while self._handed:
            self._given.put_nowait(self._handed.popleft())

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
            jobs = await self._given.get()
            live = [job for job in jobs if not job.dropped]
            if live:
                await self._call(live)
            self._done.put(jobs)
            del jobs, live  # a worker that waits must not keep the last message in memory

    async def _call(self, jobs: list[Job]) -> None:
        messages = begun(jobs)
        self._meter.call_began()
        try:
            ended(jobs, self._shape.outputs(await self._process(self._shape.argument(messages)), messages))
        except (Exception, SystemExit) as error:
            failed(jobs, error)
        except asyncio.CancelledError as error:
            if self._over.is_set():
                raise
            failed(jobs, error)  # cancelled by its own doing, not by ours: a failure like any other
        finally:
            self._meter.call_ended()

"""What a node's ``self.consumer`` is: the engine's members of the group, and the queue from which the node is fed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fogverse.compat.delivery import Delivery
from fogverse.compat.record import ConsumerRecord, TopicPartition
from fogverse.engine import Engine
from fogverse.executor import Executor
from fogverse.exit_codes import ExitCode
from fogverse.message import Message, Output
from fogverse.process import Process
from fogverse.settings import Settings
from fogverse.stopping import GRACE_S

log = logging.getLogger(__name__)


class Run(Executor):
    """An executor beside the node's event loop, which lets its assignment be looked at."""

    _made: Engine | None = None

    def assignment(self) -> list[TopicPartition]:
        """Partitions owned now."""
        return [] if self._made is None else [TopicPartition(*name) for name in self._made._assignment.partitions]

    def ask_to_stop(self, reason: str) -> None:
        """Drain and end; safe in a signal's midst."""
        self._stopping.request(reason)

    def _engine(self, *arguments: Any, **options: Any) -> Engine:
        self._made = super()._engine(*arguments, **options)
        return self._made


class GroupMember:
    """Runs the engine in threads of its own, one for each topic, and feeds the node in the node's event loop.

    Args:
        settings: reads the settings of each topic; called when it starts.

    Attributes:
        workers: records that the node takes at once; None means one after the other, in order.
        code: how it ended: of several topics, the first that did not end well.
        ends_process: whether code that blocks the event loop at the end of the drain timeout is ended with the whole
            process, as ``Executor`` does: nothing in Python can interrupt it.
    """

    def __init__(self, settings: Callable[[], list[Settings]]) -> None:
        self.workers: int | None = None
        self.code = ExitCode.OK
        self.ends_process = False
        self._settings = settings
        self._runs: list[Run] = []
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fed: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._ended = asyncio.Event()
        self._noticed = threading.Event()
        self._servers = ""

    @property
    def started(self) -> bool:
        """Whether ``start`` was called."""
        return self._loop is not None

    @property
    def ended(self) -> bool:
        """Whether it has drained and left the group."""
        return self._ended.is_set()

    async def start(self) -> None:
        """Join the group. Returns at once; partitions come later, see ``assignment``.

        Raises:
            SettingsError: with every problem at once.
        """
        if self.started:
            return
        settings = self._settings()
        self._servers = settings[0].bootstrap_servers
        self._loop = asyncio.get_running_loop()
        if self.workers is None:
            # One after the other, as FogVerse's loop has it: what follows a failed message waits for its retries.
            settings = [replace(each, workers=1, ordering="partition") for each in settings]
        else:
            settings = [replace(each, workers=self.workers) for each in settings]
        self._runs = [self._run(each) for each in settings]
        self._threads = [
            threading.Thread(
                target=self._go, args=(run,), name=f"fogverse-node-{run.settings.source_topic}", daemon=True
            )
            for run in self._runs
        ]
        for thread in self._threads:
            thread.start()

    def assignment(self) -> set[TopicPartition]:
        """The partitions owned now, of all topics."""
        return {partition for run in self._runs for partition in run.assignment()}

    async def getone(self) -> Delivery | None:
        """The next record, its turn begun; None when there will be none, since everything is drained."""
        while not self.ended:
            delivery = await self._fed.get()
            if delivery is not None and delivery.begin():
                return delivery
        return None

    def ask_to_stop(self, reason: str) -> None:
        """Begin to drain: finish what has been begun, and leave. From any thread, and in a signal's midst."""
        for run in self._runs:
            run.ask_to_stop(reason)

    async def stop(self, error: BaseException | None = None) -> None:
        """Drain and leave the group; returns when that is done.

        Args:
            error: why the node takes no more; what is still handed to it is refused with that.
        """
        self.ask_to_stop("the node ends")
        while self.started and (delivery := await self.getone()) is not None:
            delivery.fail(error or RuntimeError("the node has ended"))

    async def wait_ended(self) -> None:
        """Returns when it has drained and left the group, whoever asked for that."""
        await self._ended.wait()

    def _run(self, settings: Settings) -> Run:
        process: Process = self._call
        run = Run.from_settings(process, settings)
        assert isinstance(run, Run)  # noqa: S101 -- from_settings makes what it is called on
        return run

    async def _call(self, message: Message) -> list[Output]:
        """What the engine calls, in its own event loop: hand the record over and wait for the end of its turn."""
        assert self._loop is not None  # noqa: S101 -- set before any run exists
        delivery = Delivery(ConsumerRecord(*message), self._servers)
        self._loop.call_soon_threadsafe(self._fed.put_nowait, delivery)
        return await asyncio.wrap_future(delivery.answer)

    def _go(self, run: Run) -> None:
        code = ExitCode.CALLABLE_FAILED
        try:
            code = run.run()
        except Exception:  # whatever it is: without a word the node would wait for ever
            log.exception("the run of %s ended with an error that was not foreseen", run.settings.source_topic)
        finally:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._over, run, code)
        if code == ExitCode.DRAIN_OVERRUN and self.ends_process and not self._noticed.wait(GRACE_S):
            log.error("the node still blocks its event loop: the process is ended")
            logging.shutdown()
            os._exit(code)

    def _over(self, run: Run, code: ExitCode) -> None:
        self._noticed.set()
        self._runs.remove(run)
        self.code = self.code or code
        if self._runs:
            self.ask_to_stop(
                f"the run of {run.settings.source_topic} has ended"
            )  # a node that consumes a part of its topics only would look healthy and not be
        else:
            self._ended.set()
            self._fed.put_nowait(None)

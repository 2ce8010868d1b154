"""The life of a node: start, turns, drain, close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any

from fogverse.compat.calls import hook, settled
from fogverse.compat.config import adopt_topics
from fogverse.compat.delivery import Delivery
from fogverse.compat.member import GroupMember
from fogverse.compat.signals import stopped_by_signals
from fogverse.exit_codes import ExitCode
from fogverse.settings import SettingsError

log = logging.getLogger(__name__)

#: Seconds that the turn of a node without a group may take once it is asked to stop.
DRAIN_S = 20.0


class Node:
    """What ``Runnable`` and ``ParallelRunnable`` share.

    Everything of the node runs in the event loop that awaits ``run``; the engine fetches, produces and commits in
    threads beside it, so that not even a node that blocks its loop is taken for dead.
    """

    message: Any = None
    _delivery: Delivery | None = None
    _closed = False
    _started = False
    _stop_asked = False
    _loop_of_run: asyncio.AbstractEventLoop | None = None
    _failure: BaseException | None = None
    _failed_at = ""

    def on_error(self, error: BaseException) -> Any:
        """What has ended the run. Logs it; may be overridden, plain or async, and may raise it."""
        log.error("%s has ended", type(self).__name__, exc_info=error)

    def process(self, data: Any) -> Any:
        """The node's work, plain or async: data in, data out."""
        return data

    def stop(self, reason: str = "stop() was called") -> None:
        """Drain and end. Returns at once; from any thread, any number of times, and in a signal's midst."""
        self._stop_asked = True
        member = self._member
        if member is not None:
            member.ask_to_stop(reason)
        if self._loop_of_run is not None and not self._loop_of_run.is_closed():
            self._loop_of_run.call_soon_threadsafe(self._stopping.set)

    async def _start(self) -> None:
        """Start the consumer, then the producer; once."""
        if self._started:
            return
        await hook(self, "start_consumer")
        await hook(self, "start_producer")
        self._started = True

    async def _close(self) -> None:
        """Close the producer, then the consumer."""
        await hook(self, "close_producer")
        await hook(self, "close_consumer")

    async def _lead(self, turns: Callable[[], Awaitable[None]]) -> ExitCode:
        """The whole life. Cancelling it drains the node first."""
        if self._loop_of_run is not None:
            raise RuntimeError("a node runs once: make a new one")
        self._loop_of_run = asyncio.get_running_loop()
        with stopped_by_signals(self.stop) as heard:
            if self._member is not None:
                self._member.ends_process = heard
            life = asyncio.create_task(self._live(turns))
            try:
                return await asyncio.shield(life)
            except asyncio.CancelledError:
                if not life.done():
                    self.stop("it was cancelled")
                    await asyncio.wait({life})
                raise

    async def _live(self, turns: Callable[[], Awaitable[None]]) -> ExitCode:
        code = ExitCode.OK
        try:
            adopt_topics(self)
            await hook(self, "_before_start")
            await self._cut_short(settled(self._start()), self._stopping.wait())
            await hook(self, "_after_start")
            if self._stop_asked and self._member is not None:
                self._member.ask_to_stop("it was asked to stop before it had started")
            await self._cut_short(turns(), self._over())
        except SettingsError as error:
            for problem in error.problems:
                log.error("%s", problem)  # noqa: TRY400 -- one line each; a traceback would hide them
            code = ExitCode.BAD_SETTINGS
        except (Exception, SystemExit) as error:
            self._failure, code = error, ExitCode.CALLABLE_FAILED
        finally:
            try:
                code = await self._drained(code)
                if self._failure is not None and code == ExitCode.CALLABLE_FAILED:
                    await settled(self.on_error(self._failure))
            finally:
                await hook(self, "_before_close")
                await settled(self._close())
                await hook(self, "_after_close")
        return code

    async def _cut_short(self, work: Awaitable[Any], when: Awaitable[Any]) -> None:
        """Await some work, but cancel it when something else comes first; raises what the work raises."""
        working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(when)
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            working.cancel()
            ended = await asyncio.gather(working, waiting, return_exceptions=True)
        if isinstance(ended[0], Exception | SystemExit):
            raise ended[0]

    async def _over(self) -> None:
        """Returns when nothing more can come of the turns: what is waited for then is cut short."""
        member = self._member
        if member is not None and member.started:
            await member.wait_ended()
            return
        await self._stopping.wait()
        try:
            await asyncio.wait_for(self._receiving.wait(), DRAIN_S)
        except TimeoutError:
            log.error("a turn has lasted %.0f s since the stop and is cut short", DRAIN_S)  # noqa: TRY400

    async def _drained(self, code: ExitCode) -> ExitCode:
        """Let the engine drain, and callbacks hear of the last acknowledgements."""
        member = self._member
        if member is not None:
            await member.stop(self._failure)
            code = code or member.code
        waiting = set(getattr(self, "_callbacks", ()))
        if waiting:  # acknowledged by now, or never
            await asyncio.sleep(0)
            _done, left = await asyncio.wait(waiting, timeout=1)
            for task in left:
                task.cancel()
        return code

    async def _settle(self, delivery: Delivery | None, error: BaseException | None) -> None:
        """End a turn: what has failed without a consumed message ends the run, else the engine decides."""
        if error is None and delivery is not None:
            if delivery.record.place == self._failed_at:
                self._failure = None  # this time it worked
            try:
                await delivery.finish()
            except Exception as refused:  # an output for another cluster that will never be delivered
                error = refused
        if error is None:
            return
        if isinstance(error, Exception | SystemExit):
            self._failure, self._failed_at = error, delivery.record.place if delivery else ""
        if delivery is not None:
            delivery.fail(error)

    async def _received(self) -> Any:
        """The next piece of data; counts as waiting, which a stop may cut short."""
        self._receiving.set()
        try:
            return await settled(self.receive())  # type: ignore[attr-defined]  # of the consumer's half
        finally:
            self._receiving.clear()

    @property
    def _ends(self) -> bool:
        """Whether there is no further turn."""
        member = self._member
        if member is not None and member.started:
            if self._closed:  # it asks for its end so; what has been begun is finished
                member.ask_to_stop("the node has closed itself")
            return member.ended
        return self._closed or self._stop_asked

    @property
    def _member(self) -> GroupMember | None:
        found = getattr(self, "consumer", None)
        return found if isinstance(found, GroupMember) else None

    @cached_property
    def _stopping(self) -> asyncio.Event:
        return asyncio.Event()

    @cached_property
    def _receiving(self) -> asyncio.Event:
        return asyncio.Event()


def payload(received: Any) -> Any:
    """What is decoded of what was received: its ``value`` if it has one, else all of it."""
    value = getattr(received, "value", None)
    if value is None:
        return received
    return value() if callable(value) else value

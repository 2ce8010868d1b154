"""The front door: run a callable between two topics."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

from fogverse.engine import Engine
from fogverse.entrypoint import in_worker, load, name_of
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.lifecycle import Lifecycle
from fogverse.meter import Meter
from fogverse.parallel import Parallel
from fogverse.process import ASYNC_IN_PROCESS, PlainProcess, Process, is_coroutine_function
from fogverse.reporter import Reporter
from fogverse.serial import Serial
from fogverse.settings import Settings, SettingsError
from fogverse.signals import stopped_by_signals
from fogverse.stopping import DrainGuard, Stopping
from fogverse.wanted import Gate

if TYPE_CHECKING:
    from fogverse.growth import Growth

log = logging.getLogger(__name__)


class Executor:
    """Consumes a topic, calls ``process`` on each message, produces what it returns; at-least-once.

    Whatever is not given here comes from the environment (``FOGVERSE_*``, see ``fogverse run --help``), and
    what is not there from the defaults: the same program runs by hand and on a device.

    Args:
        process: a plain or a coroutine function, called with a ``Message``; returns None, bytes, an
            ``Output`` or an iterable of these. An exception ends the run: the message stays uncommitted and
            is the next to be processed.
        source_topic: topic to consume.
        target_topic: topic to produce to; None for a sink.
        group_id: consumer group that all instances share.
        bootstrap_servers: ``host:port``, several separated by commas.
        start: ``earliest`` or ``latest``: where a group without any position on the topic starts, once.
        exactly_once: commit outputs and positions together, in Kafka transactions.
        service: name of the service in reports.
        instance: name of this process, ``service@device.slot``: client id and name in reports.
        host: name of the device in reports.
        workers: messages to work on at once, in as many threads, for which ``process`` must be safe, or, if it is
            a coroutine function, on one event loop. With 1 a plain function is called in the loop itself, which
            is the fastest for work that does not wait.
        mode: ``thread``, or ``process`` for work that computes: ``workers`` processes import ``process`` by its name,
            so it has to be a function of a module; a program that runs an executor needs the usual
            ``if __name__ == "__main__":``.
        batch: ``process`` takes a list of up to so many messages, and returns None or a list with one entry for each.
        batch_wait_ms: how long a message waits for a full list while a worker is free.
        ordering: what keeps its order with several workers: ``none``, ``key`` or ``partition``. One at a time
            keeps all of them.
        max_in_flight: messages that may be begun and not finished, with several workers.
        max_in_flight_mb: megabytes of these messages from which on nothing more is fetched.
        on_failure: ``stop`` or ``dead_letter``, for a message that fails once more after its last retry.
        retries: how often the callable is called again for such a message; others go on meanwhile.
        retry_delay_s: pause before the first retry; it doubles with each.
        dead_letter_topic: where such a message goes, with the reason in its headers.
        message_timeout_s: how long a call may last before its message is named as stuck; a worker process is
            replaced then, and the call counts as failed.
        autoscale: make a missing source topic, and let it grow with the group; only with ``ordering="none"``.
        observer_topic: topic for reports.
        drain_timeout_s: seconds that stopping may take.
        topic_timeout_s: seconds that a missing topic is waited for.

    Raises:
        SettingsError: with every problem at once.
        TypeError: ``process`` is no callable of the supported kind.
    """

    def __init__(
        self,
        process: Process,
        *,
        source_topic: str | None = None,
        target_topic: str | None = None,
        group_id: str | None = None,
        bootstrap_servers: str | None = None,
        start: str | None = None,
        exactly_once: bool | None = None,
        service: str | None = None,
        instance: str | None = None,
        host: str | None = None,
        workers: int | None = None,
        mode: str | None = None,
        batch: int | None = None,
        batch_wait_ms: float | None = None,
        ordering: str | None = None,
        max_in_flight: int | None = None,
        max_in_flight_mb: float | None = None,
        on_failure: str | None = None,
        retries: int | None = None,
        retry_delay_s: float | None = None,
        dead_letter_topic: str | None = None,
        message_timeout_s: float | None = None,
        autoscale: bool | None = None,
        observer_topic: str | None = None,
        drain_timeout_s: float | None = None,
        topic_timeout_s: float | None = None,
    ) -> None:
        given = {
            "source_topic": source_topic,
            "target_topic": target_topic,
            "group_id": group_id,
            "bootstrap_servers": bootstrap_servers,
            "start": start,
            "exactly_once": exactly_once,
            "service": service,
            "instance": instance,
            "host": host,
            "workers": workers,
            "mode": mode,
            "batch": batch,
            "batch_wait_ms": batch_wait_ms,
            "ordering": ordering,
            "max_in_flight": max_in_flight,
            "max_in_flight_mb": max_in_flight_mb,
            "on_failure": on_failure,
            "retries": retries,
            "retry_delay_s": retry_delay_s,
            "dead_letter_topic": dead_letter_topic,
            "message_timeout_s": message_timeout_s,
            "autoscale": autoscale,
            "observer_topic": observer_topic,
            "drain_timeout_s": drain_timeout_s,
            "topic_timeout_s": topic_timeout_s,
        }
        self._open(process, Settings.from_environment(os.environ, given))

    @classmethod
    def from_settings(cls, process: Process | str, settings: Settings) -> Executor:
        """An executor with settings that have been read already.

        Args:
            process: the callable, or its name, ``module:callable``; with mode process only workers import that.
            settings: what to run it with.

        Raises:
            Fault: it cannot be imported.
        """
        executor = cls.__new__(cls)
        executor._open(process, settings)
        return executor

    def _open(self, process: Process | str, settings: Settings) -> None:
        if in_worker():
            raise RuntimeError(
                "an Executor is made while a worker process imports this program: make it under "
                'if __name__ == "__main__":'
            )
        if isinstance(process, str) and settings.mode != "process":
            process = load(process)
        if not isinstance(process, str) and not callable(process):
            raise TypeError(f"{process!r} is not callable")
        if settings.mode == "process" and not isinstance(process, str):
            if is_coroutine_function(process):
                raise SettingsError([ASYNC_IN_PROCESS])
            process = name_of(process)
        self.settings = settings
        self._process = process
        self._stopping = Stopping(settings.drain_timeout_s)
        self._ran = False

    def stop(self) -> None:
        """Ask the run to drain and end; returns at once. From any thread, any number of times."""
        self._stopping.request("stop() was called")

    def run(self) -> ExitCode:
        """Process until stopped, once per executor. Blocks.

        In the main thread SIGTERM and SIGINT stop it (the first one counts), and a callable that still has
        not returned at the end of the drain timeout is ended with the whole process, exit code 5: nothing
        in Python can interrupt it. In another thread signals are left alone and such a callable is waited for.

        Returns:
            How it ended; meant for ``sys.exit``.
        """
        if self._ran:
            raise RuntimeError("an Executor runs once: make a new one")
        self._ran = True
        settings = self.settings
        log.info(
            "%s: %s -> %s, group %s, release %s",
            settings.instance, settings.source_topic, settings.target_topic or "(sink)", settings.group_id,
            settings.release or "unknown",
        )  # fmt: skip
        meter = Meter()
        growth = self._growth()
        in_main = threading.current_thread() is threading.main_thread()
        guard = DrainGuard(self._stopping, self._end_process if in_main else self._complain)
        guard.start()
        reporter: Reporter | None = None
        # A program that runs executors in threads of its own speaks for itself.
        lifecycle = Lifecycle.of_process(
            os.environ if in_main else {}, self._stopping, growth.look if growth is not None else lambda: None
        )
        try:
            with stopped_by_signals(self._stopping) if in_main else nullcontext():
                reporter = Reporter(settings, meter, settings.workers, lifecycle.beat)
                reporter.start()
                if not self._may_begin(lifecycle, reporter):
                    return ExitCode.OK
                engine = self._engine(meter, reporter.now, lifecycle)
                if growth is not None:
                    growth.start()
                lifecycle.joining(settings.group_id, settings.topic_timeout_s)
                return engine.run()
        except Fault as fault:
            log.error("%s", fault.text)  # noqa: TRY400 -- one line; the text says it all
            return fault.code
        finally:
            self._stopping.request("the run has ended")
            guard.close()
            if growth is not None:
                growth.close()
            if reporter is not None:
                reporter.close()
            lifecycle.close()

    def _may_begin(self, lifecycle: Lifecycle, reporter: Reporter) -> bool:
        """Wait until this release may run, telling systemd and the master why not yet; False to stop."""

        def waits(why: str, wanted: str | None) -> None:
            lifecycle.waits(why)
            reporter.waits_for = wanted

        opened = Gate(self.settings, self._stopping, waits).opens()
        reporter.waits_for = None
        return opened

    def _engine(self, meter: Meter, first_finished: Callable[[], None], lifecycle: Lifecycle) -> Engine:
        """The loop that suits the callable and the settings."""
        settings, process = self.settings, self._process
        simple = settings.on_failure == "stop" and not settings.retries and settings.message_timeout_s is None
        # A transaction must not stay open for as long as a call lasts: the broker would end it, and us.
        simple = simple and not settings.exactly_once
        plain = settings.mode == "thread" and settings.batch is None and not is_coroutine_function(process)
        if settings.workers == 1 and simple and plain:
            return Serial(settings, cast("PlainProcess", process), meter, self._stopping, lifecycle, first_finished)
        return Parallel(settings, process, meter, self._stopping, lifecycle, first_finished)

    def _growth(self) -> Growth | None:
        if not self.settings.autoscale:
            return None
        from fogverse.growth import Growth  # noqa: PLC0415 -- whoever does not need it does not pay for its client

        return Growth(self.settings, self._stopping)

    def _complain(self) -> None:
        log.error("the drain timeout of %.0f s is over; still waiting", self.settings.drain_timeout_s)

    def _end_process(self) -> None:
        self._complain()
        logging.shutdown()
        os._exit(ExitCode.DRAIN_OVERRUN)

"""A deployment under way: an instance is taken up when its own device has started it, while Ansible waits for others.

A batch is one Ansible run, and a run is over when its last host is: a dead one takes the time of an SSH connection that
nobody accepts, one that hangs longer. The others do not wait for them: what the device itself said about an instance is
in the run's events.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from orchestrator.act.course import Course
from orchestrator.act.means import Means
from orchestrator.act.run import DECISIVE, HostOutcome, PlaybookRun, RunOutcome
from orchestrator.core.instance import Instance

#: Once more than half of a batch runs, and no other has come for so long, those still missing are named.
LATE_S = 5.0

Event = Mapping[str, Any]


class Starting:
    """One Ansible run for a batch. Everything is told in the thread that asks: by :meth:`take`."""

    def __init__(
        self,
        batch: Collection[Instance],
        request: PlaybookRun,
        means: Means,
        course: Course,
        fail: Callable[[Instance, str], None],
    ) -> None:
        """Begin the run.

        Args:
            batch: instances of one service.
            request: the run that starts them.
            means: what to work with.
            course: is told how far each instance is.
            fail: is told each instance that its device did not start, and why, as soon as that is known.
        """
        self._batch = tuple(batch)
        self._means = means
        self._course = course
        self._fail = fail
        self._began = self._latest = means.clock.now()
        self._awaited = dict.fromkeys(batch)
        self._late: set[Instance] = set()
        self._begun = self._acting = False
        self._failed: dict[Instance, HostOutcome] = {}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        #: Set when there is something to :meth:`take`.
        self.news = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ansible-run")
        self._run = self._thread.submit(means.actuator.run, request, means.stop, self._enter)
        self._run.add_done_callback(lambda _: self.news.set())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    @property
    def awaited(self) -> tuple[Instance, ...]:
        """Instances of which nothing is known yet."""
        return tuple(self._awaited)

    @property
    def acting(self) -> bool:
        """Whether it has come to start instances; before, nothing is to be seen of them."""
        return self._acting

    @property
    def failed(self) -> Mapping[Instance, HostOutcome]:
        """Instances that their devices did not start."""
        return self._failed

    def outcome(self) -> RunOutcome:
        """How the run ended; waits for that."""
        return self._run.result()

    def take(self) -> list[Instance]:
        """The instances that were started since it was asked last.

        Raises:
            NotLeading: another master leads; nothing was started.
        """
        self.news.clear()
        over = self._run.done()  # asked before the events are, so that none comes after the verdict
        started: list[Instance] = []
        while not self._events.empty():
            started += self._heard(self._events.get())
        if over:
            self._acting = True
            started += self._judged(self._run.result())
        self._name_the_late(bool(started))
        return started

    def _enter(self, event: Event) -> None:
        self._events.put(event)
        if event.get("done") or event.get("event") in ("failed", "unreachable"):
            self.news.set()

    def _heard(self, event: Event) -> list[Instance]:
        match event.get("event"):
            case "play" if not self._begun:
                self._begun = True
                self._course.tell("ansible-started", str(event.get("name") or ""), of=self._batch)
            case "task":
                self._course.progress(f"Ansible task: {event.get('name')}")
                self._acting = self._acting or event.get("name") in DECISIVE
            case "ok":
                done = event.get("done") or ()
                return [self._started(instance) for instance in self.awaited if str(instance) in done]
            case "failed" | "unreachable" as verdict:
                outcome = HostOutcome(verdict, event.get("task"), event.get("reason", ""))
                for instance in [one for one in self.awaited if one.device == event.get("host")]:
                    self._lost(instance, outcome)
        return []

    def _judged(self, outcome: RunOutcome) -> list[Instance]:
        """Nobody is waited for any more, unless the master itself broke the run off: then nothing is known."""
        started: list[Instance] = []
        if outcome.error is not None and self._means.stop.is_set():
            return started
        for instance in self.awaited:
            host = outcome.of(instance.device)
            if host.verdict == "ok":
                started.append(self._started(instance))
            else:
                self._lost(instance, host)
        return started

    def _started(self, instance: Instance) -> Instance:
        del self._awaited[instance]
        self._acting = True
        if "process-alive" not in self._course.parts(instance):  # its group may have known earlier
            self._course.tell("process-alive", f"unit {instance.unit} runs", instance)
        return instance

    def _lost(self, instance: Instance, outcome: HostOutcome) -> None:
        del self._awaited[instance]
        self._failed[instance] = outcome
        self._fail(instance, outcome.words)

    def _name_the_late(self, came: bool) -> None:
        now = self._means.clock.now()
        self._latest = now if came else self._latest
        running = len(self._batch) - len(self._awaited) - len(self._failed)
        if 2 * running <= len(self._batch) or now - self._latest < LATE_S:
            return
        for instance in [one for one in self.awaited if one not in self._late]:
            self._late.add(instance)
            words = (
                f"{instance.device} is not done after {now - self._began:.0f} s; {running} of {len(self._batch)} run"
            )
            self._course.tell("late", f"{words} and do not wait for it", instance)

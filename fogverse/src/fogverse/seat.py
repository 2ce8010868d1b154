"""One worker process seen from its parent: started, given work, replaced when it dies."""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import struct
import termios
import threading
from queue import SimpleQueue
from time import monotonic

from fogverse.child import Child
from fogverse.exit_codes import ExitCode
from fogverse.failures import FailedElsewhere, reason
from fogverse.faults import Fault
from fogverse.job import Job
from fogverse.message import Output
from fogverse.meter import Meter
from fogverse.plan import Failure, Plan, Reply

log = logging.getLogger(__name__)

#: Deaths one after the other, without any answer in between, after which it is not replaced any more.
DEATHS = 5
#: Bytes that a pipe can hold: more messages than any bundle has.
CLAIMS = 65_536


class Seat:
    """A thread that keeps one worker process and does bundles with it.

    Args:
        plan: what the worker is told.
        given: bundles for whoever is free; None ends the seat.
        done: where jobs go, with a result or returned.
        meter: told when a call begins and ends.
    """

    def __init__(
        self, plan: Plan, given: SimpleQueue[list[Job] | None], done: SimpleQueue[list[Job]], meter: Meter
    ) -> None:
        self.fault: Fault | None = None
        self.settled = threading.Event()
        self.thread = threading.Thread(target=self._work, name=f"fogverse-seat-{plan.number}", daemon=True)
        self._plan = plan
        self._given = given
        self._done = done
        self._meter = meter
        self._closing = False
        # Guards what the loop's thread looks at and takes back while a bundle is under way.
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._answered = 0
        self._since_s = 0.0
        self._why = ""
        self._deaths = 0
        self._child: Child | None = None
        self._claims, self._put_claims = os.pipe()
        os.set_blocking(self._claims, False)

    def recall(self, older_s: float) -> None:
        """Give back what was sent so long ago and is not begun."""
        with self._lock:
            if not self._jobs or monotonic() - self._since_s < older_s:
                return
            back = self._take_back()
        if back:
            self._done.put(back)

    def watch(self) -> None:
        """Note which messages are being worked on."""
        with self._lock:
            begun = self._jobs[self._answered : len(self._jobs) - self._unclaimed()]
            now = monotonic()
            for job in begun:
                if self._plan.in_batches or job is begun[-1]:
                    if job.started_s is None or job.ended_s:
                        job.started_s, job.ended_s = now, 0.0
                else:  # it is done with, its answer is on the way
                    job.started_s, job.ended_s = job.started_s or now, job.ended_s or now

    def interrupt(self, job: Job, why: str) -> bool:
        """Kill the worker if it is working on this job."""
        with self._lock:
            if job not in self._jobs[self._answered :] or self._child is None:
                return False
            back = self._take_back()
            self._why = why
            self._child.kill()
        if back:
            self._done.put(back)
        return True

    def close(self, *, now: bool) -> None:
        """Do not replace the worker any more; with ``now`` also kill it."""
        self._closing = True
        with self._lock:
            if now and self._child is not None:
                self._child.kill()

    # What follows runs in the seat's thread.

    def _work(self) -> None:
        child = self._start()
        self.settled.set()
        while (jobs := self._given.get()) is not None:
            if child is None:
                self._return(jobs)
            elif not self._do(child, jobs):
                child = self._replace()
            del jobs  # a seat that waits must not keep the last messages in memory
        if child is not None:
            self._reap(child)
        with self._lock:
            os.close(self._claims)
            os.close(self._put_claims)

    def _start(self) -> Child | None:
        """A worker that has imported the callable; None if there is none to be had."""
        try:
            child = Child(self._plan, self._claims)
            with self._lock:
                self._child = child
                if self._closing:
                    child.kill()
            child.greet()
        except Fault as fault:
            self._child = None
            if not self._closing:
                self.fault = fault
            return None
        return child

    def _do(self, child: Child, jobs: list[Job]) -> bool:
        """Have a bundle done; False if the worker has died over it."""
        live: list[Job] = []
        gone: list[Job] = []
        for job in jobs:
            (gone if job.dropped else live).append(job)
        self._return(gone)
        if not live:
            return True
        with self._lock:
            self._jobs, self._answered, self._since_s = list(live), 0, monotonic()
            os.write(self._put_claims, bytes(len(live)))
        self._meter.call_began()
        try:
            child.connection.send_bytes(
                pickle.dumps([tuple(job.ticket.message) for job in live], protocol=pickle.HIGHEST_PROTOCOL)
            )
            over = False
            while not over:
                reply: Reply = pickle.loads(child.connection.recv_bytes())  # noqa: S301 -- from our own worker
                over = reply[1]
                self._note(reply)
        except Exception as error:
            if not isinstance(error, EOFError | OSError):
                self._why = f"what it answered cannot be read: {reason(error)}"
            self._died(child)
            return False
        finally:
            self._meter.call_ended()
        return True

    def _note(self, reply: Reply) -> None:
        answers, over = reply
        with self._lock:
            jobs = self._jobs[self._answered : self._answered + len(answers)]
            self._answered += len(answers)
            self._deaths = 0
            if over:
                self._jobs = []  # what is left of it has been taken back
        for job, (outputs, failure, together, started_s, ended_s) in zip(jobs, answers, strict=True):
            if not together:
                job.returned = True
                continue
            job.together = together
            job.outputs = [Output(*output) for output in outputs]
            job.error = FailedElsewhere(*failure) if failure else None
            job.started_s, job.ended_s = started_s, ended_s
        if jobs:
            self._done.put(jobs)

    def _died(self, child: Child) -> None:
        how = self._reap(child)
        with self._lock:
            back = self._take_back()
            begun, self._jobs = self._jobs[self._answered :], []
            why, self._why = self._why, ""
        self._deaths += 1
        place = begun[-1].ticket.message.place if begun else "no message"
        if not why:
            why = f"worker {self._plan.number} {how}"
            log.error("%s while it worked on %s: it is replaced", why, place)
        culprits = begun if self._plan.in_batches else begun[-1:]
        for job in begun:
            job.single = True  # at least tried alone, should the death be the work of several
            job.returned = job not in culprits  # finished, but its answer is lost
        now = monotonic()
        for job in culprits:
            job.together = len(culprits)
            job.error = FailedElsewhere(*Failure(why, f"{why}\n"))
            job.started_s = job.started_s or now
            job.ended_s = now
        if begun or back:
            self._return(back)
            self._done.put(begun)

    def _replace(self) -> Child | None:
        if self._closing:
            return None
        if self._deaths > DEATHS:
            self.fault = Fault(
                ExitCode.CALLABLE_FAILED,
                f"worker {self._plan.number} died {self._deaths} times without answering once (see the log above)",
            )
            return None
        return self._start()

    def _return(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.returned = True
        if jobs:
            self._done.put(jobs)

    def _take_back(self) -> list[Job]:
        """What the worker has not claimed, and cannot claim any more. To be called with the lock."""
        try:
            unclaimed = len(os.read(self._claims, CLAIMS))
        except BlockingIOError:
            return []
        back = self._jobs[-unclaimed:]
        del self._jobs[-unclaimed:]
        for job in back:
            job.returned = True
        return back

    def _unclaimed(self) -> int:
        [unclaimed] = struct.unpack("i", fcntl.ioctl(self._claims, termios.FIONREAD, bytes(4)))
        return int(unclaimed)

    def _reap(self, child: Child) -> str:
        how = child.reap()
        with self._lock:
            self._child = None
        return how

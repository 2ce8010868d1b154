"""A worker process: imports the callable itself and calls it on what its parent sends.

Two descriptors connect it: a socket for messages and answers, and a pipe that holds one byte for each message it
may still begin. Reading a byte is the claim to a message, which nobody else can have then; the parent takes bytes
out to give what is not begun to another worker, and sees from those left by a dead worker how far it came.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Hashable
from multiprocessing.connection import Connection
from time import monotonic, sleep
from typing import Any

from fogverse import journal
from fogverse.call import Call
from fogverse.entrypoint import load
from fogverse.exit_codes import ExitCode
from fogverse.failures import reason, trace
from fogverse.faults import Fault
from fogverse.lanes import LANE
from fogverse.message import Message, Output
from fogverse.plan import Answer, Failure, Hello, Plan
from fogverse.process import ASYNC_IN_PROCESS, is_coroutine_function

#: Seconds of work after which answers are not kept for the end of a bundle.
FLUSH_S = 0.01
#: prctl's option to be told when the parent ends.
_PR_SET_PDEATHSIG = 1


class Worker:
    """Does bundles of messages, one after the other.

    Args:
        process: the callable.
        plan: how to call it.
        connection: where messages come from and answers go.
        claims: descriptor of the pipe to claim messages from.
    """

    def __init__(self, process: Callable[[Any], object], plan: Plan, connection: Connection, claims: int) -> None:
        self._process = process
        self._call = Call(in_batches=plan.in_batches, target_topic=plan.target_topic)
        self._lane = LANE[plan.ordering]
        self._connection = connection
        self._claims = claims
        self._lock = threading.Lock()
        self._pending: list[Answer] = []
        self._busy = threading.Event()

    def serve(self) -> None:
        """Work until the parent hangs up."""
        threading.Thread(target=self._reply_while_busy, name="fogverse-answers", daemon=True).start()
        while True:
            try:
                received = self._connection.recv_bytes()
            except (EOFError, OSError):
                return
            messages = [Message(*fields) for fields in pickle.loads(received)]  # noqa: S301 -- from the parent alone
            if self._call.in_batches:
                self._batch(messages)
            else:
                self._one_by_one(messages)

    def _batch(self, messages: list[Message]) -> None:
        messages = messages[: self._claim(len(messages))]
        if messages:
            self._pending = self._answers(messages)
        self._reply(over=True)

    def _one_by_one(self, messages: list[Message]) -> None:
        shut: set[Hashable] = set()
        replied_s = monotonic()
        self._busy.set()
        for message in messages:
            if not self._claim(1):
                break
            if shut and self._lane(message) in shut:
                answer = Answer([], None, 0, 0.0, 0.0)
            else:
                [answer] = self._answers([message])
                if answer.failure and (lane := self._lane(message)) is not None:
                    shut.add(lane)
            with self._lock:
                self._pending.append(answer)
            if answer.ended_s - replied_s > FLUSH_S:
                self._reply(over=False)
                replied_s = answer.ended_s
        self._busy.clear()
        self._reply(over=True)

    def _reply_while_busy(self) -> None:
        """Answers must not wait for a slow call that follows them."""
        while True:
            self._busy.wait()
            sleep(FLUSH_S)
            try:
                self._reply(over=False)
            except OSError:
                return  # the parent is gone

    def _claim(self, most: int) -> int:
        try:
            return len(os.read(self._claims, most))
        except BlockingIOError:
            return 0

    def _answers(self, messages: list[Message]) -> list[Answer]:
        together = len(messages)
        started_s = monotonic()
        try:
            outputs = self._call.outputs(self._process(self._call.argument(messages)), messages)
        except (Exception, SystemExit) as error:
            failure = Failure(reason(error), trace(error))
            ended_s = monotonic()
            return [Answer([], failure, together, started_s, ended_s) for _message in messages]
        ended_s = monotonic()
        return [Answer(mine, None, together, started_s, ended_s) for mine in outputs]

    def _reply(self, *, over: bool) -> None:
        with self._lock:
            answers, self._pending = self._pending, []
            if not answers and not over:
                return
            try:
                packed = _pack(answers, over=over)
            except Exception:
                packed = _pack([_sendable(answer) for answer in answers], over=over)
            self._connection.send_bytes(packed)


def _pack(answers: list[Answer], *, over: bool) -> bytes:
    # Plain tuples: a named one costs three times as much to unpack.
    plain = [
        ([tuple(output) for output in answer[0]], *answer[1:]) if answer[0] else tuple(answer) for answer in answers
    ]
    return pickle.dumps((plain, over), protocol=pickle.HIGHEST_PROTOCOL)


def _sendable(answer: Answer) -> Answer:
    """An answer with something in it that cannot leave the process is a failure of its message."""
    try:
        _pack([answer], over=False)
    except Exception as error:
        failure = Failure(f"an output cannot leave its worker process: {reason(error)}", trace(error))
        return answer._replace(outputs=list[Output](), failure=failure)
    return answer


def main(arguments: list[str]) -> int:
    """Run a worker; the arguments are its two descriptors and its parent's process id."""
    connection, claims, parent = Connection(int(arguments[0])), int(arguments[1]), int(arguments[2])
    _bind_to_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        # The parent drains and ends it. Not SIG_IGN, which programs started by the callable would inherit.
        signal.signal(number, lambda _number, _frame: None)
    faulthandler.enable()  # a segmentation fault tells its place in Python
    try:
        plan = Plan(*pickle.loads(connection.recv_bytes()))  # noqa: S301 -- from the parent alone
        sys.path[:] = plan.path
        journal.configure(plan.log_level, os.environ, who=f"worker {plan.number}: ")
        hello: Hello = None
        try:
            process = load(plan.entrypoint)
        except Fault as fault:
            hello = (fault.code, fault.text)
        else:
            if is_coroutine_function(process):
                hello = (ExitCode.BAD_SETTINGS, ASYNC_IN_PROCESS)
        connection.send_bytes(pickle.dumps(hello))
        if hello is None:
            Worker(process, plan, connection, claims).serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 1  # the parent is gone, and so is everything to be done
    finally:
        logging.shutdown()
    return 0


def _bind_to_parent(parent: int) -> None:
    """Have the kernel end this process with its parent, whatever ends that; elsewhere it ends with the next answer."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One master leads: a candidate that dies or freezes is replaced within ten seconds, and acts no more when it wakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from lab.broker import LocalBroker
from orchestrator.broker.leadership import Leadership
from orchestrator.broker.ledger import Entry, Ledger, state_topic
from orchestrator.project import PROJECT

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

#: Says each change of its lead, and answers a line on standard input with whether it is sure to lead.
CANDIDATE = """
import sys, threading, warnings
warnings.simplefilter("ignore")
from orchestrator.broker.leadership import Leadership
me = Leadership({"bootstrap_servers": [sys.argv[1]]}, sys.argv[2], sys.argv[2])
me.start()
def ask():
    for line in sys.stdin:
        print("sure" if me.confirm(int(line)) else "unsure", flush=True)
threading.Thread(target=ask, daemon=True).start()
never = threading.Event()
while True:
    term = me.wait(never)
    print("leads", term.number, flush=True)
    while term.holds():
        never.wait(0.05)
    print("follows", flush=True)
"""


class Candidate:
    """A candidate in a process of its own, so that it can be killed and frozen."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CANDIDATE, bootstrap, topic],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        self.said: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.said.append(line.strip())
                self._changed.notify_all()

    def wait_for(self, word: str, timeout_s: float, after: int = 0) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: word in self.said[after:], timeout_s)
        assert found, f"{word!r} was not said within {timeout_s} s: {self.said}"

    def ask(self, term: int) -> str:
        assert self.process.stdin is not None
        before = len(self.said)
        self.process.stdin.write(f"{term}\n")
        self.process.stdin.flush()
        with self._changed:
            assert self._changed.wait_for(lambda: bool({"sure", "unsure"} & set(self.said[before:])), 20)
        return next(word for word in self.said[before:] if word.endswith("sure"))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def topic(broker: LocalBroker) -> str:
    name = f"lead-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(timeout=10)
    return name


@pytest.fixture
def candidate(broker: LocalBroker, topic: str) -> Iterator[Callable[[], Candidate]]:
    started: list[Candidate] = []

    def start() -> Candidate:
        started.append(Candidate(broker.bootstrap, topic))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_a_second_master_takes_over_from_a_killed_one_within_ten_seconds(
    candidate: Callable[[], Candidate],
) -> None:
    first = candidate()
    first.wait_for("leads 1", 20)
    second = candidate()
    assert first.ask(1) == "sure"  # a master that joins does not take the lead
    first.process.kill()
    killed = time.monotonic()
    second.wait_for("leads 1", 20)
    assert time.monotonic() - killed < 10
    assert second.ask(1) == "sure"


def test_a_frozen_master_is_replaced_and_acts_no_more_when_it_wakes(candidate: Callable[[], Candidate]) -> None:
    first = candidate()
    first.wait_for("leads 1", 20)
    second = candidate()
    assert first.ask(1) == "sure"
    first.process.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    second.wait_for("leads 1", 20)
    assert time.monotonic() - frozen < 10
    first.process.send_signal(signal.SIGCONT)
    assert first.ask(1) == "unsure"  # asked before it has noticed anything itself
    first.wait_for("follows", 10)
    assert second.ask(1) == "sure"


def test_a_master_that_leaves_hands_over_at_once(
    candidate: Callable[[], Candidate], broker: LocalBroker, topic: str
) -> None:
    leaving = Leadership({"bootstrap_servers": [broker.bootstrap]}, topic, topic)
    leaving.start()
    term = leaving.wait(threading.Event())
    assert term is not None
    waiting = candidate()
    leaving.close()
    waiting.wait_for("leads 1", 5)
    assert not term.confirm()


def test_an_order_reaches_the_leading_master(broker: LocalBroker) -> None:
    """An operator's order would otherwise wait for the next restart."""
    name, options = f"ledger-{uuid.uuid4().hex[:8]}", {"bootstrap_servers": [broker.bootstrap]}
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for created in admin.create_topics([NewTopic(name, 1, 1), NewTopic(state_topic(name), 1, 1)]).values():
        created.result(timeout=10)
    heard: list[Entry] = []
    came = threading.Event()

    def hear(entry: Entry) -> None:
        heard.append(entry)
        came.set()

    leading = Leadership(options, state_topic(name), name, hear)
    leading.start()
    writer = Ledger(options, name)
    try:
        term = leading.wait(threading.Event())
        assert term is not None
        assert term.confirm()  # it has a position from here on
        order = Entry("override", "slow", 1.0, {"kind": "pause"})
        writer.append(order)
        assert writer.flush(10) == 0
        assert came.wait(10)
        assert heard == [order]
    finally:
        writer.close()
        leading.close()

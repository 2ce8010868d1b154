"""FogVerse's nodes on this engine against a real broker: the order of the hooks, and what is lost when."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_runtime_broker import Instance, Pipeline, until

from fogverse import ExitCode
from fogverse.compat import Consumer, Producer, RecordMetadata
from lab.broker import LocalBroker

pytestmark = pytest.mark.broker

PROGRAM = """
import asyncio, logging, sys, time
from fogverse.compat import Consumer, Producer

logging.basicConfig(level=logging.INFO, format="%(message)s")


class MyNode(Consumer, Producer):
    def __init__(self):
        Producer.__init__(self)
        Consumer.__init__(self)

    {process}

    def on_error(self, e):
        print("on_error", repr(e), file=sys.stderr)


sys.exit(asyncio.run(MyNode().run()))
"""
WORK = """async def process(self, data):
        await asyncio.sleep(0.002)
        return data.upper()"""
PICKY = """def process(self, data):
        if data == "bad":
            raise ValueError("this one")
        return data"""
BLOCKS = """def process(self, data):
        time.sleep(600)"""
AWAITS_FOR_EVER = """async def process(self, data):
        await asyncio.Event().wait()"""


class Nodes(Pipeline):
    """A pipeline whose instances are programs with a node, set up by FogVerse's own variables."""

    @contextmanager
    def node(self, process: str, **variables: str) -> Iterator[Instance]:
        program = self.folder / "node.py"
        program.write_text(PROGRAM.format(process=process))
        with self.program(program, **variables) as running:
            yield running

    @contextmanager
    def program(self, program: Path, **variables: str) -> Iterator[Instance]:
        environ = os.environ | {
            "CONSUMER_SERVERS": self.bootstrap,
            "PRODUCER_SERVERS": self.bootstrap,
            "CONSUMER_TOPIC": self.source,
            "PRODUCER_TOPIC": self.target,
            "GROUP_ID": self.name,
            "CLIENT_ID": f"{self.name}@pi-1.1",
            "OBSERVER_TOPIC": self.observer,
        }
        running = Program([sys.executable, "-W", "error", str(program)], environ | variables, self.folder)
        try:
            yield running
        finally:
            running.kill()


class Program(Instance):
    """One process of a user's program and its log."""

    def __init__(self, command: list[str], environ: dict[str, str], folder: Path) -> None:
        self.start(subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True, cwd=folder))


@pytest.fixture
def nodes(broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    made = Nodes(broker, tmp_path)
    monkeypatch.setenv("OBSERVER_TOPIC", made.observer)
    return made


class Recorder(Consumer, Producer):
    """Notes its hooks, and stops itself after so many messages."""

    def __init__(self, nodes: Nodes, messages: int) -> None:
        self.consumer_topic = nodes.source
        self.group_id = nodes.name
        self.consumer_servers = self.producer_servers = nodes.bootstrap
        self.producer_topic = nodes.target
        self.called: list[str] = []
        self.acknowledged: list[RecordMetadata] = []
        self._left = messages
        Producer.__init__(self)
        Consumer.__init__(self)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in HOOKS and callable(found):
            self.called.append(name)
        return found

    def _before_start(self) -> None: ...
    async def _after_start(self) -> None: ...
    def _before_receive(self) -> None: ...
    def _after_receive(self, message: Any) -> None: ...
    async def _before_decode(self, value: Any) -> None: ...
    def _after_decode(self, data: Any) -> None: ...
    def _before_process(self, data: Any) -> None: ...
    def _after_process(self, result: Any) -> None: ...
    def _before_encode(self, result: Any) -> None: ...
    def _after_encode(self, data: Any) -> None: ...
    def _before_send(self, data: Any) -> None: ...
    def _before_close(self) -> None: ...
    async def _after_close(self) -> None: ...

    def process(self, data: Any) -> Any:
        return data.upper()

    def callback(self, metadata: RecordMetadata) -> None:
        self.acknowledged.append(metadata)

    def _after_send(self, _data: Any) -> None:
        self._left -= 1
        if not self._left:
            self.stop()


TURN = [
    "_before_receive", "receive", "_after_receive", "_before_decode", "decode", "_after_decode", "_before_process",
    "process", "_after_process", "_before_encode", "encode", "_after_encode", "_before_send", "send", "_after_send",
]  # fmt: skip
START = ["_before_start", "_start", "start_consumer", "start_producer", "_after_start"]
CLOSE = ["_before_close", "_close", "close_producer", "close_consumer", "_after_close"]
HOOKS = {*START, *TURN, *CLOSE, "on_error"}


def test_the_hooks_come_in_fogverses_order(nodes: Nodes) -> None:
    """Else a node that prepares something in a hook meets a world that is not ready, or not there any more."""
    nodes.create_all()
    nodes.put(["a", "b"])
    node = Recorder(nodes, messages=2)
    assert asyncio.run(node.run()) == ExitCode.OK
    assert node.called[: len(START)] == START
    assert node.called[len(START) : len(START) + 2 * len(TURN)] == TURN * 2
    # Waiting for a third message when the drain ended.
    assert node.called[len(START) + 2 * len(TURN) :] == ["_before_receive", "receive", *CLOSE]
    assert node.acknowledged == [(nodes.target, 0, 0), (nodes.target, 0, 1)]
    records = nodes.records(nodes.target)
    assert [(r.value(), r.key(), r.headers()) for r in records] == [
        (b"A", b"key of a", [("trace", b"a")]), (b"B", b"key of b", [("trace", b"b")])
    ]  # fmt: skip
    assert nodes.committed() == [2]


def test_killed_it_loses_nothing_and_stopped_it_repeats_nothing(nodes: Nodes) -> None:
    """Power cuts and restarts are a device's daily life; FogVerse's own consumer skips to the end at each start."""
    nodes.create_all()
    names = [f"m{n}" for n in range(1500)]
    nodes.put(names)
    with nodes.node(WORK) as first:
        until(lambda: nodes.committed()[0] > 0)
        first.process.kill()
        assert first.ends() == -signal.SIGKILL
    nodes.evict_members()
    [done] = nodes.committed()
    assert 0 < done < 1500
    before = nodes.out()
    with nodes.node(WORK) as second:
        second.says("first message finished")
        assert second.stop() == ExitCode.OK
    assert done < nodes.committed()[0] < 1500
    with nodes.node(WORK) as third:
        until(lambda: nodes.committed() == [1500], within_s=30)
        assert third.stop() == ExitCode.OK
    after = nodes.out()
    assert set(after) == {name.upper() for name in names}
    # Only what the killed one had sent and not committed is repeated.
    assert sum(after.values()) - 1500 <= before.total() - done


def test_a_failing_message_ends_it_with_on_error_and_stays_uncommitted(nodes: Nodes) -> None:
    """FogVerse prints a traceback, exits with code 0, and has lost the message."""
    nodes.create_all()
    nodes.put(["a", "b", "bad", "c"])
    with nodes.node(PICKY) as node:
        assert node.ends() == ExitCode.CALLABLE_FAILED
        node.says("on_error ValueError('this one')")
    assert nodes.committed() == [2]
    assert nodes.out() == {"a": 1, "b": 1}


def test_with_a_dead_letter_topic_it_goes_on_after_a_failure(nodes: Nodes) -> None:
    """The engine's ways of dealing with failures are there for old nodes, too, without a change to them."""
    nodes.create_all()
    nodes.create(f"{nodes.name}.dead")
    nodes.put(["a", "bad", "c"])
    variables = {"FOGVERSE_DEAD_LETTER_TOPIC": f"{nodes.name}.dead", "FOGVERSE_RETRY_DELAY_S": "0.01"}
    with nodes.node(PICKY, **variables) as node:
        until(lambda: nodes.committed() == [3])
        assert node.stop() == ExitCode.OK
    assert nodes.out() == {"a": 1, "c": 1}
    [dead] = nodes.records(f"{nodes.name}.dead")
    assert (dead.value(), dict(dead.headers() or [])["fogverse-attempts"]) == (b"bad", b"4")


@pytest.mark.parametrize("process", [BLOCKS, AWAITS_FOR_EVER], ids=["blocks", "awaits"])
def test_code_that_never_returns_does_not_hold_the_device(nodes: Nodes, process: str) -> None:
    """Else a drain hangs until somebody kills it, and the exit code says nothing."""
    nodes.create_all()
    nodes.put(["x"])
    with nodes.node(process, FOGVERSE_DRAIN_TIMEOUT_S="0.5") as node:
        until(lambda: any(report["in_flight"] for report in nodes.reports()))
        began = time.monotonic()
        assert node.stop() == ExitCode.DRAIN_OVERRUN
        assert time.monotonic() - began < 10
    assert nodes.committed()[0] < 1


def test_wrong_settings_are_told_in_fogverses_words(nodes: Nodes) -> None:
    """Else nobody who comes from FogVerse knows which of his variables is missing."""
    with nodes.node(WORK, GROUP_ID="", CONSUMER_TOPIC="") as node:
        assert node.ends() == ExitCode.BAD_SETTINGS
        node.says("or the attribute group_id")
        node.says("or the attribute consumer_topic")


def test_awaiting_an_acknowledgement_in_its_own_turn_is_refused(nodes: Nodes) -> None:
    """Else a node that does so hangs for ever without a word."""
    nodes.create_all()
    nodes.put(["x"])
    process = """async def process(self, data):
        await (await self.send(data))"""
    with nodes.node(process) as node:
        assert node.ends() == ExitCode.CALLABLE_FAILED
        node.says("use callback=, a task, or producer.send_and_wait()")


def test_several_topics_and_what_is_sent_beside_the_output(nodes: Nodes) -> None:
    """A node of many topics owns them all; what it sends through its producer counts as the message's output."""
    other = f"{nodes.name}.other"
    nodes.create_all()
    nodes.create(other)
    nodes.put(["a"])
    source, nodes.source = nodes.source, other
    nodes.put(["b"])
    process = """async def process(self, data):
        await self.producer.send(self.message.topic + ".copy", value=data)
        print(await self.producer.send_and_wait(self.producer_topic, "waited for"), file=sys.stderr)
        return data"""
    nodes.create(f"{source}.copy", f"{other}.copy")
    with nodes.node(process, CONSUMER_TOPIC=f"{source},{other}") as node:
        until(lambda: nodes.committed() == [1])
        nodes.source = source
        until(lambda: nodes.committed() == [1])
        assert node.stop() == ExitCode.OK
    assert nodes.out() == {"a": 1, "b": 1, "waited for": 2}
    assert [r.value() for topic in (source, other) for r in nodes.records(f"{topic}.copy")] == [b"a", b"b"]


SOURCE = """
import asyncio, logging, sys
from fogverse.compat import Producer

logging.basicConfig(level=logging.INFO, format="%(message)s")


class Camera(Producer):
    frames = 0

    async def receive(self):
        self.frames += 1
        if self.frames > 200:
            print("waits", file=sys.stderr)
            await asyncio.sleep(600)
        return f"f{self.frames}"


sys.exit(asyncio.run(Camera().run()))
"""


def test_a_node_that_makes_its_data_loses_none_of_it_when_it_is_stopped(nodes: Nodes, tmp_path: Path) -> None:
    """What receive() has given is sent and acknowledged, and a source that waits does not hold up the stop."""
    nodes.create_all()
    (tmp_path / "camera.py").write_text(SOURCE)
    with nodes.program(tmp_path / "camera.py") as camera:
        camera.says("waits")
        assert camera.stop() == ExitCode.OK
    assert nodes.out() == {f"f{n}": 1 for n in range(1, 201)}


def test_a_node_that_produces_to_another_cluster_commits_what_is_acknowledged_there(nodes: Nodes) -> None:
    """A fog node consumes from its own broker and produces to the cloud's (here the same one by another name)."""
    nodes.create_all()
    nodes.put(f"m{n}" for n in range(50))
    with nodes.node(WORK, PRODUCER_SERVERS=nodes.bootstrap.replace("127.0.0.1", "localhost")) as node:
        until(lambda: nodes.committed() == [50])
        assert node.stop() == ExitCode.OK
    assert nodes.out() == {f"M{n}": 1 for n in range(50)}
    assert sum(report["emitted"] for report in nodes.reports()) == 0


@pytest.mark.parametrize("where", ["_before_receive(self)", "_after_close(self)", "_before_start(self)"])
def test_a_hook_that_raises_ends_the_node_at_once(nodes: Nodes, where: str) -> None:
    """Else a mistake in a hook is a node that hangs, or one that looks as if it had ended well."""
    nodes.create_all()
    nodes.put(["a", "b", "c"])
    process = f"""turn = 0

    async def process(self, data):
        self._closed = "close" in "{where}"

    def {where}:
        self.turn += 1
        if self.turn == 2 or "receive" not in "{where}":
            raise ValueError("in a hook")"""
    began = time.monotonic()
    with nodes.node(process) as node:
        assert node.ends() != ExitCode.OK
        node.says("in a hook")
    assert time.monotonic() - began < 15
    assert nodes.out() == {}


def test_a_node_that_closes_itself_finishes_what_it_has_begun(nodes: Nodes) -> None:
    """FogVerse's way for a node to end itself."""
    nodes.create_all()
    nodes.put(["a", "last", "b"])
    process = """def process(self, data):
        self._closed = data == "last"
        return data"""
    with nodes.node(process) as node:
        assert node.ends() == ExitCode.OK
    [committed] = nodes.committed()
    assert committed in (2, 3)
    assert nodes.out().total() == committed

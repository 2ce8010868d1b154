"""FogVerse's nodes with a pool of processes, against a real broker."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_compat_nodes import Nodes, Program
from test_runtime_broker import until

from fogverse import ExitCode
from lab.broker import LocalBroker

pytestmark = pytest.mark.broker

NODE = """
import asyncio, logging, os, sys, time
from fogverse.compat import ParallelConsumer, ParallelProducer, Processor


class Work(Processor):
    def process(self, data):
        if data == "fatal":
            os._exit(1)
        time.sleep(0.005)
        return f"{data} {os.getpid()}"


class MyNode(ParallelConsumer, ParallelProducer):
    def _before_process(self, data):
        assert self.message.value == data.encode()

    def _after_process(self, result):
        assert self.message.value == result.split()[0].encode()

    def on_error(self, e):
        print("on_error", repr(e), file=sys.stderr)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(asyncio.run(MyNode().run(process_number=2, max_running_task=8, processor=Work())))
"""


@pytest.fixture
def nodes(broker: LocalBroker, tmp_path: Path) -> Nodes:
    made = Nodes(broker, tmp_path)
    made.create_all()
    return made


@contextmanager
def parallel(nodes: Nodes, folder: Path, **variables: str) -> Iterator[Program]:
    program = folder / "parallel.py"
    program.write_text(NODE)
    with nodes.program(program, **variables) as running:
        assert isinstance(running, Program)
        yield running


def test_two_processes_do_the_work_each_message_with_its_own_key(nodes: Nodes, tmp_path: Path) -> None:
    """FogVerse sends a result with the key and headers of whatever message was received last."""
    names = [f"m{n}" for n in range(400)]
    nodes.put(names)
    with parallel(nodes, tmp_path) as node:
        until(lambda: nodes.committed() == [400], within_s=40)
        assert node.stop() == ExitCode.OK
    records = nodes.records(nodes.target)
    values = [(record.value() or b"").decode().split() for record in records]
    assert sorted(name for name, _ in values) == sorted(names)
    assert len({process for _, process in values}) == 2
    assert all(r.key() == f"key of {name}".encode() for r, (name, _) in zip(records, values, strict=True))


def test_killed_it_loses_nothing_and_leaves_no_process_behind(nodes: Nodes, tmp_path: Path) -> None:
    """Else each crash of a node leaves processes that eat a small device's memory."""
    names = [f"m{n}" for n in range(800)]
    nodes.put(names)
    with parallel(nodes, tmp_path) as first:
        until(lambda: nodes.committed()[0] > 0)
        workers = children(first.process.pid)
        assert len(workers) >= 2
        first.process.kill()
        assert first.ends() == -signal.SIGKILL
        until(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()])
    nodes.evict_members()
    with parallel(nodes, tmp_path) as second:
        until(lambda: nodes.committed() == [800], within_s=40)
        assert second.stop() == ExitCode.OK
    assert {value.split()[0] for value in nodes.out()} == set(names)


def test_a_process_that_dies_is_replaced_and_its_message_buried(nodes: Nodes, tmp_path: Path) -> None:
    """A model that crashes on one picture must not take the whole node down when dead letters are asked for."""
    dead = f"{nodes.name}.dead"
    nodes.create(dead)
    nodes.put(["a", "b", "fatal", "c", "d"])
    variables = {"FOGVERSE_DEAD_LETTER_TOPIC": dead, "FOGVERSE_RETRIES": "5", "FOGVERSE_RETRY_DELAY_S": "0.2"}
    with parallel(nodes, tmp_path, **variables) as node:
        until(lambda: nodes.committed() == [5], within_s=60)
        assert node.stop() == ExitCode.OK
    assert {value.split()[0] for value in nodes.out()} == {"a", "b", "c", "d"}
    assert [record.value() for record in nodes.records(dead)] == [b"fatal"]


def children(pid: int) -> list[int]:
    """Processes whose parent it is."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if re.search(rf"^PPid:\s+{pid}$", text, re.MULTILINE):
            found.append(int(status.parent.name))
    return [child for child in found if child != os.getpid()]

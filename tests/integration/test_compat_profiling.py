"""Profiling against a real broker and real file systems."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_compat_nodes import Nodes
from test_runtime_broker import until

from fogverse import ExitCode
from fogverse.compat import COLUMNS
from lab.broker import LocalBroker

pytestmark = pytest.mark.broker

NODE = """
import asyncio, logging, sys
from fogverse.compat import Consumer, Producer, Profiling

logging.basicConfig(level=logging.INFO, format="%(message)s")


class MyNode(Profiling, Consumer, Producer):
    def __init__(self):
        Profiling.__init__(self, name="node", dirname="logs", remote_logging=True)
        Producer.__init__(self)
        Consumer.__init__(self)

    async def process(self, data):
        await asyncio.sleep(0.003)
        return data * 2


sys.exit(asyncio.run(MyNode().run()))
"""


@pytest.fixture
def nodes(broker: LocalBroker, tmp_path: Path) -> Nodes:
    made = Nodes(broker, tmp_path)
    made.create_all()
    (tmp_path / "node.py").write_text(NODE)
    return made


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KB."""
    if os.geteuid():
        pytest.skip("a file system of its own needs root")
    folder = tmp_path / "logs"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tiny", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_phase_of_every_message_is_measured(nodes: Nodes, tmp_path: Path) -> None:
    """What FogVerse's notebooks read must be there: the columns, in their order, with figures that are true."""
    topic = f"{nodes.name}.profile"
    nodes.create(topic)
    nodes.put(f"m{n}" for n in range(50))
    with nodes.program(tmp_path / "node.py", LOGGING_TOPIC=topic) as node:
        until(lambda: nodes.committed() == [50])
        assert node.stop() == ExitCode.OK
    measured = rows(tmp_path / "logs" / "log_node.csv")
    assert list(measured[0]) == ["asctime", "name", *COLUMNS]
    assert [(row["offset received"], row["offset sent"]) for row in measured] == [(str(n), str(n)) for n in range(50)]
    assert {(row["topic from"], row["topic to"]) for row in measured} == {(nodes.source, nodes.target)}
    assert all(3 <= float(row["process time (ms)"]) < 1000 for row in measured)
    assert all(0 < float(row["send time (ms)"]) < 5000 for row in measured)
    assert (measured[0]["size data received (KB)"], measured[0]["size data sent (KB)"]) == ("0.002", "0.004")
    told = [json.loads(record.value() or b"") for record in nodes.records(topic)]
    assert told[0]["log headers"] == ["timestamp", *COLUMNS]
    assert len(told) == 50


def test_a_full_disk_costs_rows_and_no_message(nodes: Nodes, tmp_path: Path, tiny_disk: Path) -> None:
    """A device's card is full one day: its work must go on, and someone must be told once and not a thousand times."""
    nodes.put(f"m{n}" for n in range(600))
    with nodes.program(tmp_path / "node.py", LOGGING_TOPIC=nodes.observer) as node:
        node.says("cannot be written: ")
        until(lambda: nodes.committed() == [600], within_s=30)
        assert node.stop() == ExitCode.OK
    assert nodes.out().total() == 600
    assert len([line for line in node.log if "cannot be written" in line]) == 1
    kept = rows(tiny_disk / "log_node.csv") if (tiny_disk / "log_node.csv").exists() else []
    missing = node.says(" rows are missing").rpartition(": ")[2]
    assert len(kept) + int(missing.split()[0]) == 600
    assert all(None not in row.values() for row in kept), "half a row was left behind"

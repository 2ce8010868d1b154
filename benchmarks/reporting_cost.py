"""What the report of each second costs in throughput, and the memory of an instance that has nothing to do.

    python benchmarks/reporting_cost.py [--rounds 20] [--json FILE]

An instance runs as fast as it can: its callable does nothing, and it is fed with its own outputs. Second by second, in
turn and in the same process, it works with reports (A), without them (B, the named alternative), and without counting
for them either (C). One report a second is too little to be seen among the noise of a machine, so A sends fifty, each
with its full number of samples, and a fiftieth of the difference counts. On one core throughput is the inverse of the
processor time of a message, which is what is compared, since other programs on the machine disturb it less than the
clock's time: medians over rounds of A/B and of B/C. The worst case: with 5 ms of work for each message the counting is
some hundred times less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer

from fogverse import Executor, Message, Output, executor, reporter
from fogverse.meter import Meter
from fogverse.reporter import Reporter
from lab import jars
from lab.broker import LocalBroker
from lab.ports import free_port
from orchestrator.broker.cluster import Cluster

CIRCLING = 20_000
KINDS = ("reported", "counted", "mute")
#: Reports in a second, where it reports; a fiftieth of what they cost is what one costs.
REPORTS = 50
IDLE_S = 5.0
INSTANCES = 3
GOAL_PERCENT, GOAL_MB = 1.0, 45.0


class Mute(Meter):
    """A meter that counts nothing."""

    def message_begun(self) -> None:
        """Nothing."""

    def call_began(self) -> None:
        """Nothing."""

    def call_ended(self) -> None:
        """Nothing."""

    def call_timed(self, queue_ms: float | None, process_ms: float) -> None:
        """Nothing."""

    def message_finished(self, emitted: int, lag_ms: float | None) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Second:
    """What was done between two beats of the reporter.

    Attributes:
        kind: how it was reported.
        messages: messages processed.
        cpu_s: processor time of the process.
    """

    kind: str
    messages: int
    cpu_s: float


class Beat(Reporter):
    """The reporter; once a second it notes what was done since the last note, and changes what is done next."""

    seconds: list[Second]
    messages: int
    beats = 0
    kind = KINDS[0]
    before = (0, 0.0)

    def _send(self) -> None:
        if self.beats % REPORTS == 0:
            now = (Beat.messages, time.process_time())
            if self.beats:
                Beat.seconds.append(Second(self.kind, now[0] - self.before[0], now[1] - self.before[1]))
            self.before = now
            self.kind = KINDS[len(Beat.seconds) % len(KINDS)]
            self._meter.__class__ = Mute if self.kind == "mute" else Meter
        self.beats += 1
        if self.kind == "reported":
            super()._send()


def process(message: Message) -> Output:
    """Do nothing."""
    Beat.messages += 1
    return Output(message.value, message.key, topic="circle")


def circle(bootstrap: str, rounds: int) -> list[Second]:
    """Let messages go round for so many rounds; their first and their last are warming up and draining."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for n in range(CIRCLING):
        producer.produce("circle", b"x" * 100, str(n % 1000))
    if producer.flush(30):
        sys.exit("the broker did not take the messages within 30 s")
    Beat.seconds, Beat.messages = [], 0
    executor.Reporter, reporter.PERIOD_S = Beat, 1 / REPORTS
    running = Executor(process, bootstrap_servers=bootstrap, source_topic="circle", group_id="circle")
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while thread.is_alive() and len(Beat.seconds) < len(KINDS) * (rounds + 2):
            time.sleep(0.5)
    finally:
        running.stop()
        thread.join()
    return Beat.seconds[len(KINDS) : len(KINDS) * (rounds + 1)]


def cost_percent(seconds: list[Second], more: str, less: str) -> float:
    """Median over rounds of how much more processor time a message took, percent."""
    ratios = []
    for first in range(0, len(seconds), len(KINDS)):
        each = {second.kind: second.cpu_s / max(1, second.messages) for second in seconds[first : first + len(KINDS)]}
        ratios.append(each[more] / each[less])
    return (statistics.median(ratios) - 1) * 100


def idle_mb(bootstrap: str, folder: Path) -> float:
    """Resident memory of an instance that waits for messages, 10^6 bytes."""
    (folder / "stage.py").write_text("def process(message):\n    return message\n")
    settings = {
        "PYTHONPATH": os.pathsep.join([str(folder), *(entry for entry in sys.path if entry)]),
        "FOGVERSE_BOOTSTRAP_SERVERS": bootstrap, "FOGVERSE_SOURCE_TOPIC": "idle", "FOGVERSE_TARGET_TOPIC": "circle",
        "FOGVERSE_GROUP_ID": "idle", "FOGVERSE_WORKERS": "4",
    }  # fmt: skip
    command = [sys.executable, "-m", "fogverse", "run", "stage:process"]
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True) as instance:
        try:
            log = instance.stderr
            if log is None or not any("assigned idle[0]" in line for line in log):
                sys.exit("the idle instance was given no partition")
            time.sleep(IDLE_S)
            fields = Path(f"/proc/{instance.pid}/statm").read_text().split()
        finally:
            instance.terminate()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="rounds of three seconds [20]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the broker is not left behind
    folder = Path(tempfile.mkdtemp(prefix="reporting-cost-"))
    broker = LocalBroker(folder / "kafka", jars.collect(Path(".lab/jars")), port=free_port())
    broker.up()
    try:
        cluster = Cluster({"bootstrap_servers": [broker.bootstrap]})
        for topic in ("circle", "idle", "observer"):
            cluster.create(topic, 1)
        cluster.close()
        memory_mb = statistics.median(idle_mb(broker.bootstrap, folder) for _ in range(INSTANCES))
        seconds = circle(broker.bootstrap, arguments.rounds)
    finally:
        broker.purge()
        shutil.rmtree(folder)
    rate = statistics.median(second.messages for second in seconds)
    reports, counting = cost_percent(seconds, "reported", "counted") / REPORTS, cost_percent(seconds, "counted", "mute")
    print(f"an instance whose callable does nothing: {rate:,.0f} messages/s")
    print(f"sending the report of each second: {reports:.2f} % of throughput, goal below {GOAL_PERCENT:.0f} %")
    print(f"counting what is in it: {counting:.1f} %, a fixed time for each message")
    print(f"memory of an idle instance with 4 workers: {memory_mb:.1f} MB, goal below {GOAL_MB:.0f} MB")
    for name, value, goal in (("reporting cost", reports, GOAL_PERCENT), ("idle memory", memory_mb, GOAL_MB)):
        if value >= goal:
            print(f"MISSED: {name}")
    figures = {
        "reporting_cost_percent": round(reports, 2),
        "counting_cost_percent": round(counting, 1),
        "idle_rss_mb": round(memory_mb, 1),
        "messages_per_s": round(rate),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

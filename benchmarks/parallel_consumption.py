"""Messages per second of one consumer process that works on several at once, side by side with the alternatives.

    python benchmarks/parallel_consumption.py [--quick] [--rounds 3] [--json FILE]

Cases: one partition and four; 1, 20 and 1,000 keys; a message takes 5 ms of waiting (16 workers), 5 ms of computing
(2 workers), or nothing. Named alternatives from the same run, in turn with ours: a serial confluent-kafka loop,
FastStream in the fastest setting that loses nothing and keeps the order of keys, and the seed's way (a pool of
processes, gathered in batches). Each runs in a process of its own against a real broker, whose time stamps of the
outputs are the clock: start and joining the group do not count. After each run every message must be out once,
committed, and, where the contender claims it, in the order of its key; else the benchmark ends with what is wrong.

Ratios are medians over rounds of a contender's rate over the serial loop's in the same round and case.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from consumption.field import FULL, QUICK, SERIAL, Amounts, Contender
from consumption.field import field as field_of
from consumption.track import FoulError, Track
from consumption.work import calibrate

from lab import jars
from lab.broker import LocalBroker
from lab.ports import free_port

KEYS = (1, 20, 1000)
PARTITIONS = (1, 4)
CASES = [
    *(("io", partitions, keys) for partitions in PARTITIONS for keys in KEYS),
    *(("cpu", partitions, keys) for partitions in PARTITIONS for keys in KEYS),
    *(("noop", partitions, 1000) for partitions in PARTITIONS),
]
WORK = {"io": "5 ms of waiting", "cpu": "5 ms of computing", "noop": "no work"}


@dataclass
class Results:
    """Rates and ratios, by case and contender."""

    rates: dict[tuple[str, int, int], dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def ratio(self, case: tuple[str, int, int], name: str) -> float | None:
        """Median over rounds of its rate over the serial loop's; None if it did not run."""
        rates = self.rates[case]
        if not rates[name]:
            return None
        return statistics.median(one / serial for one, serial in zip(rates[name], rates[SERIAL.name], strict=True))

    def least(self, work: str, name: str) -> float | None:
        """The smallest ratio of the cases in which messages can be worked on side by side."""
        ratios = [self.ratio(case, name) for case in self.rates if case[0] == work and case[2] > 1]
        known = [ratio for ratio in ratios if ratio is not None]
        return min(known) if known else None


@dataclass(frozen=True)
class Goal:
    """What is to be reached.

    Attributes:
        figure: its name in the JSON file.
        work: of which cases.
        contender: by whom.
        least: the ratio.
        why: how a miss is to be read.
    """

    figure: str
    work: str
    contender: str
    least: float
    why: str


GOALS = (
    Goal(
        "io_key_16_vs_serial", "io", "ours, threads, by key", 14,
        "16 threads need 16 keys that are ready; what is left is the time between two calls of a worker, which grows "
        "when something else uses the cores",
    ),
    Goal(
        "cpu_vs_serial", "cpu", "ours, process, by key", 1.8,
        "two cores carry two calls, the loop, the broker and this program; without a mode of processes Python computes "
        "on one core, whatever the threads",
    ),
    Goal(
        "noop_vs_bare_loop", "noop", "ours, one worker", 0.5,
        "tracking, counting and acknowledging each message is a fixed cost of some five microseconds in Python",
    ),
)  # fmt: skip


def run(track: Track, rounds: int, amounts: Amounts) -> Results:
    """All cases, each as often; a table after each."""
    results = Results()
    for case in CASES:
        work, partitions, keys = case
        contenders = field_of(work, partitions)
        for _ in range(rounds):
            for contender in contenders:
                if not contender.missing:
                    results.rates[case][contender.name].append(race(track, contender, case, amounts))
        print(f"\n{WORK[work]}, {partitions} partition{'s'[: partitions > 1]}, {keys:,} key{'s'[: keys > 1]}")
        for contender in contenders:
            print(line(results, case, contender, amounts), flush=True)
    return results


def race(track: Track, contender: Contender, case: tuple[str, int, int], amounts: Amounts) -> float:
    """Messages per second of one run.

    Raises:
        FoulError: it was not correct.
    """
    work, partitions, keys = case
    messages = amounts.of(contender, work, keys)
    source = track.source(partitions, keys, messages)
    one = track.race(
        contender.module, source, messages, work, contender.workers,
        variant=contender.variant, processes=str(contender.processes),
    )  # fmt: skip
    if contender.ordered and one.mixed_up:
        raise FoulError(f"{contender.name} mixed up {one.mixed_up} of {messages} messages")
    return one.rate


def line(results: Results, case: tuple[str, int, int], contender: Contender, amounts: Amounts) -> str:
    """A contender's row of a table."""
    if contender.missing:
        return f"  {contender.name:34} {contender.missing}"
    rate = statistics.median(results.rates[case][contender.name])
    messages = amounts.of(contender, case[0], case[2])
    scaled = f"   (with {messages:,} messages)" if case[0] != "noop" and messages != amounts.parallel else ""
    return f"  {contender.name:34} {rate:10,.0f}/s {results.ratio(case, contender.name):7.2f} x{scaled}"


def judge(results: Results) -> dict[str, float | None]:
    """Print goals, reached or missed, and return their figures."""
    figures: dict[str, float | None] = {}
    print()
    for goal in GOALS:
        ratio = results.least(goal.work, goal.contender)
        figures[goal.figure] = None if ratio is None else round(ratio, 2)
        told = "not measured" if ratio is None else f"{ratio:.2f}"
        reached = ratio is not None and ratio >= goal.least
        print(f"{goal.figure}: {told}, goal {goal.least}: {'reached' if reached else 'MISSED: ' + goal.why}")
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer messages, one round: minutes; ratios are rougher")
    parser.add_argument("--rounds", type=int, help="runs of each contender in each case [3; with --quick 1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the broker is not left behind
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    folder = Path(tempfile.mkdtemp(prefix="parallel-consumption-"))
    broker = LocalBroker(folder, jars.collect(Path(".lab/jars")), port=free_port())
    broker.up()
    try:
        track = Track(broker, calibrate())
        results = run(track, rounds, QUICK if arguments.quick else FULL)
        track.close()
    except FoulError as foul:
        sys.exit(f"not correct: {foul}")
    finally:
        broker.purge()
    figures = judge(results)
    if arguments.json:
        cases = {
            f"{work}, {partitions} partitions, {keys} keys": {
                name: round(statistics.median(rates), 1)
                for name, rates in results.rates[work, partitions, keys].items()
            }
            for work, partitions, keys in CASES
        }
        arguments.json.write_text(json.dumps(figures | {"rates": cases}, indent=2) + "\n")


if __name__ == "__main__":
    main()

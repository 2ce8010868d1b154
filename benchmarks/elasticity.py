"""How well policies follow the load: ours and others', on the same simulator.

    python benchmarks/elasticity.py [--json FILE] [--pictures FOLDER] [--csv FOLDER] [--shapes step,sine] [--quick]

Each shape of traffic (and each CSV of seconds,messages/s in a folder) is simulated with each policy; docs/simulate.md
explains the model, the measures and where each rival comes from. Named alternatives, from the same run: the seed's
rule as written, KEDA's Kafka scaler with the HPA's defaults, the Flink operator's autoscaler, DS2, enough for the peak
all the time, and an oracle that knows the future. Below each table it says which goals `capacity` misses.
The exit code is 0 also when goals are missed: a benchmark measures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestrator.errors import SimulationInvalid
from orchestrator.simulate import fleet, picture
from orchestrator.simulate.measure import Measures, measure
from orchestrator.simulate.run import POLICIES, simulate
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.shapes import SHAPES, from_csv
from orchestrator.simulate.trace import Trace

OURS, ORACLE = "capacity", "oracle"
#: The one that lasts a day; `--quick` leaves it out.
LONG = ("sine",)
#: A rival counts as better only by more than this share: less is rounding.
BETTER = 0.01
COLUMNS = {
    "acc. under": "accuracy_under", "acc. over": "accuracy_over", "time under": "timeshare_under",
    "time over": "timeshare_over", "jitter": "jitter", "lag area": "lag_area", "late s": "late_s",
    "inst. s": "instance_s", "vs oracle": "extra_instance_s", "actions": "actions", "partitions +": "partitions_added",
    "decisions to size": "first_size",
}  # fmt: skip


def scenarios(folder: Path | None, only: list[str] | None, *, quick: bool) -> list[Scenario]:
    """Every shape, and every CSV in a folder."""
    names = [n for n in SHAPES if (only is None or n in only) and not (quick and n in LONG)]
    found = [fleet.scenario(name, SHAPES[name]()) for name in names]
    files = sorted(folder.glob("*.csv")) if folder is not None else []
    return found + [fleet.scenario(file.stem, from_csv(file)) for file in files]


def missed(scenario: Scenario, results: Mapping[str, Measures]) -> list[str]:
    """The goals that `capacity` does not meet on this shape, each in words."""
    ours, oracle = results[OURS], results[ORACLE]
    changes = max(len(scenario.traffic.changes), oracle.actions)
    words = []
    if ours.first_size is None or ours.first_size > 1:
        count = "never" if ours.first_size is None else f"after {ours.first_size} decisions"
        words.append(f"size reached {count}, not in one decision")
    if scenario.name == "spikes" and ours.actions:
        words.append(f"{ours.actions} actions on lone spikes")
    if ours.actions > oracle.actions + changes:
        words.append(
            f"{ours.actions} actions, more than the oracle's {oracle.actions} and one for each of {changes} changes"
        )
    for name, rival in results.items():
        better = rival.lag_area < ours.lag_area * (1 - BETTER) and rival.instance_s <= ours.instance_s
        if better and name not in (OURS, ORACLE):
            words.append(
                f"{name} has less lag area ({rival.lag_area:,.0f} < {ours.lag_area:,.0f}) for no more instance-seconds "
                f"({rival.instance_s:,.0f} <= {ours.instance_s:,.0f})"
            )
    return words


def run(scenario: Scenario, policies: list[str], pictures: Path | None) -> dict[str, Measures]:
    """Simulate one shape with every policy, on as many cores as there are."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        traces: list[Trace] = list(pool.map(simulate, [scenario] * len(policies), policies))
    oracle = traces[policies.index(ORACLE)]
    if pictures is not None:
        picture.compare(traces, pictures / f"{scenario.name}.svg")
        picture.draw(traces[0], pictures / f"{scenario.name}-{OURS}.svg")
    return {trace.policy: measure(trace, oracle) for trace in traces}


def show(console: Console, scenario: Scenario, results: Mapping[str, Measures]) -> None:
    """One shape's table and goals."""
    table = Table("policy", *COLUMNS, title=f"{scenario.name} ({scenario.seconds} s)", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, found in results.items():
        values = found.as_dict()
        cells = ["never" if values[key] is None else f"{values[key]:,.4g}" for key in COLUMNS.values()]
        table.add_row(name, *cells)
    console.print(table)
    goals = missed(scenario, results)
    console.print(f"goals of {OURS}: " + ("all met" if not goals else "MISSED: " + "; ".join(goals)) + "\n")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write {shape: {policy: {measure: value}}}")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write two SVGs of each shape")
    parser.add_argument("--csv", type=Path, metavar="FOLDER", help="also simulate every CSV in it")
    parser.add_argument("--shapes", metavar="NAMES", help="only these, separated by commas")
    parser.add_argument("--quick", action="store_true", help="leave out the day")
    options = parser.parse_args()
    only = options.shapes.split(",") if options.shapes else None
    if only and (unknown := set(only) - set(SHAPES)):
        parser.error(f"no such shape: {', '.join(sorted(unknown))}; there are: {', '.join(SHAPES)}")
    if options.csv is not None and not options.csv.is_dir():
        parser.error(f"--csv {options.csv}: there is no such folder")
    console, everything, begun = Console(width=200), {}, time.monotonic()
    try:
        if options.pictures is not None:
            options.pictures.mkdir(parents=True, exist_ok=True)
            picture.check(options.pictures / "x.svg")
        for scenario in scenarios(options.csv, only, quick=options.quick):
            results = run(scenario, list(POLICIES), options.pictures)
            show(console, scenario, results)
            everything[scenario.name] = {name: found.as_dict() for name, found in results.items()}
    except SimulationInvalid as error:
        parser.error(str(error))
    console.print(f"{len(everything)} shapes, {len(POLICIES)} policies, {time.monotonic() - begun:.0f} s")
    if options.json is not None:
        options.json.write_text(json.dumps(everything, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

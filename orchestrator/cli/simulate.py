"""``orchestrator simulate``: what would be decided, and how good that would be."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from orchestrator.errors import SimulationInvalid
from orchestrator.settings import Settings
from orchestrator.simulate import changes as changing
from orchestrator.simulate import fleet, picture, recording
from orchestrator.simulate.measure import Measures, measure
from orchestrator.simulate.replay import actions, lag_area, replay, service_of
from orchestrator.simulate.run import POLICIES
from orchestrator.simulate.run import simulate as run
from orchestrator.simulate.scenario import Scenario
from orchestrator.simulate.shapes import SHAPES, from_csv
from orchestrator.simulate.trace import Trace


@click.command()
@click.argument("what", metavar="FILE|SHAPE")
@click.option(
    "--policy", type=click.Choice(POLICIES), default=None, help="What decides.  [default: as recorded, or capacity]"
)
@click.option("--set", "pairs", metavar="KEY=VALUE", multiple=True, help="Change a setting; may be repeated.")
@click.option("--service", default=None, help="Which service of a recording with several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--picture", "picture_file", type=click.Path(dir_okay=False, path_type=Path), help="Write an SVG or PNG.")
def simulate(
    what: str,
    policy: str | None,
    pairs: tuple[str, ...],
    service: str | None,
    picture_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Let the live loop's code decide on simulated consumers, and measure how good that is.

    FILE is a recording (`orchestrator record`) or a CSV of seconds,messages/s. SHAPE is one of: step, growing,
    ramp, spikes, sine, plateau, bursts, hot, keyed, failing. docs/simulate.md has the keys of --set and how to read
    the picture.
    """
    if picture_file is not None:
        picture.check(picture_file)
    scenario, policy, recorded = _scenario(what, policy, pairs, service)
    trace = run(scenario, policy)
    measures = measure(trace, run(scenario, "oracle"))
    if picture_file is not None:
        picture.draw(trace, picture_file)
    if as_json:
        click.echo(json.dumps(_body(trace, measures, recorded), indent=2))
    else:
        _show(trace, measures, recorded)


def _scenario(
    what: str, policy: str | None, pairs: tuple[str, ...], service: str | None
) -> tuple[Scenario, str, dict[str, float] | None]:
    path = Path(what)
    if what not in SHAPES and not path.is_file():
        raise SimulationInvalid(f"{what} is neither a file nor a shape; shapes are: {', '.join(SHAPES)}")
    if what in SHAPES or path.suffix == ".csv":
        policy = policy or "capacity"
        changed = changing.read(pairs, policy)
        traffic = SHAPES[what]() if what in SHAPES else from_csv(path)
        known = {k: v for k, v in changed.model.model_dump(include={"rate", "devices", "partitions"}).items() if v}
        scenario = fleet.scenario(
            what if what in SHAPES else path.name,
            traffic,
            _service(changed, fleet.service(), policy),
            changed.to_settings(Settings()),
            instances=changed.model.instances,
            **known,
        )
        return _modelled(scenario, changed), policy, None
    recorded = recording.read(path)
    original = service_of(recorded, service)
    policy = policy or original.policy.name
    changed = changing.read(pairs, policy)
    scenario = replay(
        recorded,
        original.name,
        changed.model.rate,
        _service(changed, original, policy),
        changed.to_settings(recorded.settings),
    )
    if changed.model.devices is not None or changed.model.partitions is not None or changed.model.instances is not None:
        raise SimulationInvalid(f"{path} says how many devices, partitions and instances there were: --set cannot")
    facts = {
        "lag_area": lag_area(recorded.moments[original.name]),
        "actions": float(actions(recorded, original.name)),
        "simulated_lag_area": 0.0,
    }
    return _modelled(scenario, changed), policy, facts


def _service(changed: changing.Changes, before: Any, policy: str) -> Any:
    # a rival has no settings of ours; the service's own limits hold for it, too
    return changed.to_service(before, policy if policy in ("capacity", "ratio") else before.policy.name)


def _modelled(scenario: Scenario, changed: changing.Changes) -> Scenario:
    model = changed.model
    if model.spread is not None:
        traffic = replace(scenario.traffic, spread=model.spread, observed=None)  # type: ignore[arg-type]  # checked
        scenario = replace(scenario, traffic=traffic)
    if model.slots is not None:
        devices = tuple(replace(device, slots=model.slots) for device in scenario.devices)
        scenario = replace(scenario, devices=devices)
    if model.seed is not None:
        scenario = replace(scenario, seed=model.seed)
    return replace(scenario, delays=model.delays(scenario.delays))


def _body(trace: Trace, measures: Measures, recorded: dict[str, float] | None) -> dict[str, Any]:
    return {
        "scenario": trace.scenario.name,
        "policy": trace.policy,
        "seconds": trace.scenario.seconds,
        "decisions": [dataclasses.asdict(event) for event in trace.events],
        "kinds": trace.kinds,
        "measures": measures.as_dict(),
        "recorded": _against(trace, recorded),
    }


def _against(trace: Trace, recorded: dict[str, float] | None) -> dict[str, float] | None:
    if recorded is None:
        return None
    return {**recorded, "simulated_lag_area": float(trace.uncommitted.sum())}


def _show(trace: Trace, measures: Measures, recorded: dict[str, float] | None) -> None:
    console = Console(soft_wrap=True)
    scenario = trace.scenario
    console.print(
        f"{scenario.name}: {scenario.seconds} s, {len(scenario.devices)} devices, {scenario.partitions} partitions at "
        f"the beginning, decided by {trace.policy}",
        style="bold",
    )
    for event in trace.events:
        console.print(f"{_time(event.at)}  {event.current} -> {event.desired}  {event.kind}: {event.reason}")
    if not trace.events:
        console.print("no decision to change anything")
    console.print(f"decisions: {', '.join(f'{count} {kind}' for kind, count in sorted(trace.kinds.items()))}")
    table = Table("measure", "value", show_edge=False)
    table.columns[1].justify = "right"
    for name, value in measures.as_dict().items():
        table.add_row(name, "-" if value is None else f"{value:,}")
    console.print(table)
    if recorded is not None:
        against = _against(trace, recorded) or {}
        console.print(
            f"recorded: {against['lag_area']:,.0f} message-seconds not committed and {against['actions']:.0f} actions; "
            f"simulated: {against['simulated_lag_area']:,.0f} and {len(trace.events)}"
        )


def _time(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"

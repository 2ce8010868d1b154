"""Pictures of simulations, with matplotlib (the extra ``picture``): SVG or PNG, whichever the file's name asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.errors import SimulationInvalid
from orchestrator.simulate.demand import OBJECTIVE_S, demand
from orchestrator.simulate.trace import Trace
from orchestrator.simulate.traffic import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")
#: Points a line has at most; a day has more seconds than a screen has columns.
POINTS = 1500
#: Decisions that are labelled; more would be unreadable.
LABELLED = 40
#: Colours that people with any colour vision can tell apart (Okabe and Ito), in the order of use.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#661100")
ARRIVAL, CAPACITY, LAG, MEMBERS, DEMAND = COLOURS[0], COLOURS[2], COLOURS[1], COLOURS[2], COLOURS[7]


def check(path: Path) -> None:
    """Find out before a long run whether a picture can be written there.

    Raises:
        SimulationInvalid: the name's ending is unknown, the folder is not there, or matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise SimulationInvalid(f"{path}: a picture is one of {', '.join(SUFFIXES)}, by the ending of its name")
    if not path.parent.is_dir():
        raise SimulationInvalid(f"{path}: the folder {path.parent} does not exist; create it first")
    _figure(1)


def draw(trace: Trace, path: Path) -> None:
    """Arrival and capacity, lag, age, and instances over time; each decision is a line through all of them.

    Raises:
        SimulationInvalid: it cannot be written.
    """
    figure = _figure(9)
    rates, lag, age, count = figure.subplots(4, 1, sharex=True, height_ratios=(3, 2, 2, 3))
    times, unit = _times(len(trace.arrival))
    rates.plot(times, _thin(trace.arrival), color=ARRIVAL, linewidth=1, label="arrival")
    rates.plot(times, _thin(trace.capacity), color=CAPACITY, linewidth=1.5, label="capacity of the members")
    rates.set_ylabel("messages/s")
    lag.fill_between(times, _thin(trace.lag, peak=True), color=LAG, alpha=0.5, linewidth=0)
    lag.set_ylabel("lag, messages")
    age.plot(times, _thin(trace.delay_s, peak=True), color=LAG, linewidth=1, label="oldest message")
    age.axhline(OBJECTIVE_S, color=DEMAND, linestyle="--", linewidth=1, label=f"objective, {OBJECTIVE_S} s")
    age.set_ylabel("age, s")
    count.step(times, _thin(demand(trace.scenario)), color=DEMAND, linewidth=3, alpha=0.7, label="needed")
    count.step(times, _thin(trace.held), color=ARRIVAL, linewidth=1, linestyle=":", label="starting to draining")
    count.step(times, _thin(trace.members), color=MEMBERS, linewidth=1.5, label="members")
    count.set_ylabel("instances")
    count.set_xlabel(unit)
    _mark(trace, (rates, lag, age, count), count, times)
    for axes in (rates, lag, age, count):
        _finish(axes)
    rates.set_title(f"{trace.scenario.name}, decided by {trace.policy}", loc="left")
    _save(figure, path)


def compare(traces: Sequence[Trace], path: Path) -> None:
    """Several policies on one scenario: traffic, instances and lag.

    Raises:
        SimulationInvalid: it cannot be written.
    """
    figure = _figure(10)
    rates, count, lag = figure.subplots(3, 1, sharex=True, height_ratios=(2, 4, 4))
    first = traces[0]
    times, unit = _times(len(first.arrival))
    rates.plot(times, _thin(first.arrival), color=ARRIVAL, linewidth=1, label="arrival")
    rates.set_ylabel("messages/s")
    count.step(times, _thin(demand(first.scenario)), color=DEMAND, linewidth=4, alpha=0.6, label="needed")
    for place, trace in enumerate(traces):
        colour, width = COLOURS[place % len(COLOURS)], 2.0 if place == 0 else 1.0
        count.step(times, _thin(trace.members), color=colour, linewidth=width, label=trace.policy)
        lag.plot(times, _thin(trace.lag, peak=True), color=colour, linewidth=width, label=trace.policy)
    count.set_ylabel("instances")
    lag.set_yscale("symlog", linthresh=100)
    lag.set_ylabel("lag, messages (logarithmic above 100)")
    lag.set_xlabel(unit)
    for axes in (rates, count, lag):
        _finish(axes)
    rates.set_title(first.scenario.name, loc="left")
    _save(figure, path)


def _figure(height: float) -> Figure:
    try:
        from matplotlib import rcParams  # noqa: PLC0415 - an extra, and slow to import
        from matplotlib.figure import Figure as New  # noqa: PLC0415
    except ImportError:
        raise SimulationInvalid(
            "pictures need matplotlib, which is not installed: pip install 'fogverse-orchestrator[picture]'"
        ) from None
    rcParams["svg.hashsalt"] = "fogverse"  # the same run gives the same file
    return New(figsize=(11, height), layout="constrained")


def _mark(trace: Trace, panels: Sequence[Axes], words: Axes, times: Floats) -> None:
    scale = times[-1] / max(1, len(trace.arrival)) if len(times) else 1.0
    for event in trace.events:
        up = event.desired > event.current
        for axes in panels:
            axes.axvline(event.at * scale, color=COLOURS[4] if up else COLOURS[5], linewidth=0.8)
        if len(trace.events) <= LABELLED:
            text = f"{event.current}→{event.desired}"
            words.annotate(
                text, (event.at * scale, 1), xycoords=("data", "axes fraction"), va="top", fontsize=7, rotation=90
            )


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, alpha=0.3)
    axes.margins(x=0)
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper right", fontsize=8, ncols=2)


def _times(seconds: int) -> tuple[Floats, str]:
    unit, name = next(
        (size, name)
        for size, name in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
        if seconds >= 6 * size or size == 1
    )
    return _thin(np.arange(1, seconds + 1) / unit), name


def _thin(values: Floats, *, peak: bool = False) -> Floats:
    """At most :data:`POINTS` of the values: means of as many neighbours, or the highest of them."""
    if len(values) <= POINTS:
        return values
    each = -(-len(values) // POINTS)
    padded = np.pad(values, (0, -len(values) % each), mode="edge").reshape(-1, each)
    return np.asarray(padded.max(axis=1) if peak else padded.mean(axis=1), dtype=float)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise SimulationInvalid(f"{path} cannot be written: {error.strerror}") from error

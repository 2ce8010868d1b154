"""How status, decisions and steps look in a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from orchestrator.status import InstanceStatus, ServiceStatus, Status

#: Colours of what deserves a look; everything else keeps the terminal's own.
_STYLES = {"scale-out": "bold green", "spike": "yellow", "unknown": "red", "at-maximum": "red", "keyed": "red"}
_STYLES |= {"failed": "red", "no-device": "red", "lost": "red", "proved": "green", "partitions-grown": "green"}


def clock_time(at: float) -> str:
    """Local time of day, to the second."""
    return datetime.datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a question mark for what is not known."""
    return "?" if value is None else f"{value:,.{digits}f}"


def styled(kind: str) -> Text:
    """The name of a decision or a step in its colour."""
    return Text(kind, style=_STYLES.get(kind, ""))


def status_table(status: Status) -> Table:
    """One row per service, an instance per line in it."""
    table = Table(title=_title(status), title_justify="left", show_lines=True, expand=False)
    for name, right in (("service", 0), ("in/s", 1), ("out/s", 1), ("ratio", 1), ("lag", 1), ("parts", 1)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("instances (device: partitions, finished/s)", no_wrap=True)
    table.add_column("last decision", ratio=1, min_width=30)
    for service in status.services:
        table.add_row(
            service.name,
            number(service.input_per_s),
            number(service.output_per_s),
            number(service.ratio, 2),
            number(service.lag),
            number(service.partitions),
            "\n".join(_instance(i) for i in service.instances) or "none",
            _decision(service),
        )
    return table


def _title(status: Status) -> str:
    master = status.master
    if master is None:
        words = "no master has ever run here"
    elif master.get("event") == "started":
        words = f"master {master.get('host')}/{master.get('pid')} since {number(master['age_s'])} s"
    else:
        words = f"no master: the last one stopped {number(master['age_s'])} s ago"
    refused = f"; {status.rejected} observer messages refused in the last minute" if status.rejected else ""
    return f"{clock_time(status.at)}  {words}{refused}"


def _instance(instance: InstanceStatus) -> str:
    owns = "?" if instance.partitions is None else ",".join(str(p) for p in instance.partitions) or "none"
    silent = "" if instance.report_age_s is not None else ", never reported"
    return f"{instance.name} ({instance.device}: {owns}, {number(instance.finished_per_s)}/s{silent})"


def _decision(service: ServiceStatus) -> Text:
    decision = service.decision
    if decision is None:
        return Text("none yet")
    text = styled(str(decision["kind"])) + Text(f" {number(decision['age_s'])} s ago: {decision['reason']}")
    since = decision["at"]
    for step in service.steps:
        if step["at"] >= since:
            after = (step.get("numbers") or {}).get("after_s")
            text += Text(f"\n  {'' if after is None else f'+{after:.1f} s '}") + styled(str(step["name"]))
            text += Text(f" {step.get('instance') or ''} {step['detail']}".rstrip())
    return text


def history_line(kind: str, service: str, at: float, body: Mapping[str, Any]) -> Text:
    """One entry of the ledger as a line."""
    when = datetime.datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if kind == "decision":
        change = f"{number(body['current'])} -> {number(body['desired'])}"
        return Text(f"{when} {service} {change} ") + styled(str(body["kind"])) + Text(f": {body['reason']}")
    if kind == "step":
        words = " ".join(str(part) for part in (body.get("instance"), body.get("detail")) if part)
        return Text(f"{when} {service}   ") + styled(str(body["name"])) + Text(f" {words}")
    return Text(f"{when} master {body.get('event')} on {body.get('host')} (pid {body.get('pid')})")

"""How status, decisions and steps look in a terminal."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.core.mark import Mark
from orchestrator.status import InstanceStatus, ServiceStatus, Status

#: Colours of what deserves a look; everything else keeps the terminal's own.
_STYLES = {"scale-out": "bold green", "spike": "yellow", "unknown": "red", "at-maximum": "red", "keyed": "red"}
_STYLES |= {"failed": "red", "no-device": "red", "lost": "red", "proved": "green", "partitions-grown": "green"}
#: What a terminal could take for a command.
_UNPRINTABLE = re.compile(r"[^\t\x20-\x7e\u00a0-\U0010ffff]")


def printable(text: str) -> str:
    """Text of a device's that cannot command the terminal."""
    return _UNPRINTABLE.sub("?", text)


def clock_time(at: float) -> str:
    """Local time of day, to the second."""
    return datetime.datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a question mark for what is not known."""
    return "?" if value is None else f"{value:,.{digits}f}"


def styled(kind: str) -> Text:
    """The name of a decision or a step in its colour."""
    return Text(kind, style=_STYLES.get(kind, ""))


def mark_words(mark: Mark) -> str:
    """An operator's order for a device, in a sentence."""
    what = {"drain": "drained", "quarantine": "in quarantine"}.get(mark.kind, "used again")
    of = f" of {', '.join(mark.services)}" if mark.services else ""
    until = "until it is restored" if mark.until is None else f"until {clock_time(mark.until)}"
    return f"{mark.device}: {what}{of} by {mark.by}" + (f" {until}" if mark.kind != "none" else "")


def status_view(status: Status) -> Group:
    """A row of figures per service; below it each service's instances and its last decision."""
    table = Table(title=_title(status), title_justify="left")
    for name in ("service", "in/s", "out/s", "ratio", "lag", "partitions", "instances"):
        table.add_column(name, justify="left" if name == "service" else "right", no_wrap=True)
    blocks: list[RenderableType] = [table]
    for service in status.services:
        table.add_row(
            service.name,
            number(service.input_per_s),
            number(service.output_per_s),
            number(service.ratio, 2),
            number(service.lag),
            number(service.partitions),
            str(len(service.instances)),
        )
        blocks += [
            Text(f"{service.name}:", style="bold"),
            *(_instance(i) for i in service.instances),
            _decision(service),
        ]
    return Group(*blocks, *(Text(mark_words(mark), "yellow") for mark in status.marks))


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


def _instance(instance: InstanceStatus) -> Text:
    owned = instance.partitions
    owns = "?" if owned is None else ", ".join(str(p) for p in owned) or "none"
    report = "never reported" if instance.report_age_s is None else f"{number(instance.finished_per_s)}/s"
    return Text(f"  {instance.name} on {instance.device}: partitions {owns}; {report}")


def _decision(service: ServiceStatus) -> Text:
    decision = service.decision
    if decision is None:
        return Text("  no decision yet")
    text = Text(f"  decided {number(decision['age_s'])} s ago: ") + styled(str(decision["kind"]))
    text += Text(f": {decision['reason']}")
    for step in _latest_action(service):
        after = (step.get("numbers") or {}).get("after_s")
        text += Text(f"\n    {'' if after is None else f'+{after:.1f} s '}") + styled(str(step["name"]))
        text += Text(f" {step.get('instance') or ''} {step['detail']}".rstrip())
    return text


def _latest_action(service: ServiceStatus) -> list[Mapping[str, Any]]:
    """The steps from the last placement on."""
    steps = list(service.steps)
    first = max((n for n, step in enumerate(steps) if step["name"] == "placed"), default=len(steps))
    return steps[first:]


def history_line(kind: str, service: str, at: float, body: Mapping[str, Any]) -> Text:
    """One entry of the ledger as a line."""
    when = datetime.datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if kind == "decision":
        change = f"{number(body['current'])} -> {number(body['desired'])}"
        return Text(f"{when} {service} {change} ") + styled(str(body["kind"])) + Text(f": {body['reason']}")
    if kind == "step":
        words = " ".join(str(part) for part in (body.get("instance"), body.get("detail")) if part)
        return Text(f"{when} {service}   ") + styled(str(body["name"])) + Text(f" {words}")
    if kind == "override":
        what = {"scale": f"hold {body.get('instances')} instances", "pause": "change nothing"}
        until = f" until {clock_time(float(body['until']))}" if body["kind"] in what else ""
        words = f"{what.get(body['kind'], 'let the policy decide again')}{until}, ordered by {body['by']}"
        return Text(f"{when} {service}   ") + styled(str(body["kind"])) + Text(f" {words}")
    if kind == "device":
        mark = Mark.from_dict(body)
        return Text(f"{when} device {body if mark is None else mark_words(mark)}")
    return Text(f"{when} master {body.get('event')} on {body.get('host')} (pid {body.get('pid')})")

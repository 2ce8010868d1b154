"""Sets the stage for the story and clears it afterwards, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from incident_detection.crawler import CrawlerError
from lab import base, jars
from lab.demo.screen import Screen
from lab.demo.story import SERVICE, Story, StoryFailed
from lab.errors import LabError
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare
from orchestrator.cli.context import Options, open_context
from orchestrator.errors import OrchestratorError
from orchestrator.project import PROJECT

DEVICES, CPU_PERCENT = 3, 10
#: Short intervals, so that the story fits into minutes; the defaults suit real traffic better.
SETTINGS = {
    "input_output_refresh_rate": 5,
    "window_max_second": 45,
    "deploy_delay": 20,
    "heartbeat_deploy_delay": 10,
    "proof_deadline": 45,
}
_STOP_S = 40


def run(folder: Path, report_file: Path, picture: Path | None = None) -> int:
    """Run the demo; returns its exit code: 0 only if its verdict is 'passed'.

    Args:
        folder: the demo's own lab; whatever is in it is replaced.
        report_file: where the report is written.
        picture: where the story is written as an SVG; None for nowhere.
    """
    lab = Lab(folder / "lab", base.build(PROJECT / ".lab" / "base", print))
    with Screen() as screen:
        try:
            with _stage(lab, folder, screen) as inventory:
                code = _tell(lab, inventory, screen, report_file)
        except (StoryFailed, CrawlerError, LabError, OrchestratorError) as failure:
            screen.say(f"demo: FAILED: {failure}", "bold red")
            return 1
        if picture is not None:
            screen.picture(picture)
        return code


@contextmanager
def _stage(lab: Lab, folder: Path, screen: Screen) -> Iterator[Path]:
    lab.down()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    broker = None
    try:
        screen.say(
            f"{DEVICES} simulated devices boot (systemd, sshd, {CPU_PERCENT} % of a core each) and a broker starts"
        )
        lab.up(DEVICES, CPU_PERCENT, say=lambda line: screen.say(f"  {line}"))
        broker = lab.broker(jars.collect(PROJECT / ".lab" / "jars"))
        broker.up()
        inventory = folder / "inventory"
        write(inventory, lab)
        settings = {"fogverse_settings": SETTINGS}
        (inventory / "group_vars" / "all" / "settings.yml").write_text(yaml.safe_dump(settings, explicit_start=True))
        screen.say("Ansible prepares the devices: playbooks/site.yml")
        prepare(lab, inventory, folder / "site.log")
        yield inventory
    finally:
        screen.say("the lab is taken down")
        if broker is not None:
            broker.down()
        lab.down()


def _tell(lab: Lab, inventory: Path, screen: Screen, report_file: Path) -> int:
    with entered(lab.hub_netns), _master(inventory, screen) as master:
        story = Story(open_context(Options(inventory)), screen)
        try:
            report = story.tell(lambda: master.poll() is None)
        finally:
            story.close()
    report_file.write_text(json.dumps(report.as_dict(), indent=2) + "\n")
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.time_to_scale_s.items())
    screen.say(f"from the decision to the second instance: {parts}")
    screen.say(
        f"{report.produced:,} produced, {report.processed:,} processed, {report.lost} lost, {report.duplicates} twice; "
        f"partitions {report.partitions_before} -> {report.partitions_after}; "
        f"{report.second_instance} finished {report.second_finished:,}"
    )
    failures = report.failures()
    verdict = f"FAILED: {'; '.join(failures)}" if failures else "PASSED"
    screen.say(f"demo: {verdict} (report: {report_file})", "bold red" if failures else "bold green")
    return 1 if failures else 0


@contextmanager
def _master(inventory: Path, screen: Screen) -> Iterator[subprocess.Popen[bytes]]:
    """The master as a user starts it: ``orchestrator run``, its log in demo-master.log."""
    log = PROJECT / "demo-master.log"
    with log.open("w") as out:
        master = subprocess.Popen(
            [str(Path(sys.executable).with_name("orchestrator")), "-i", str(inventory), "run"],
            cwd=PROJECT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    screen.say(f"the master runs: orchestrator run (service {SERVICE}; log: {log.name})")
    try:
        yield master
    finally:
        began = time.monotonic()
        master.send_signal(signal.SIGTERM)
        try:
            master.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            master.kill()
            master.wait()
        screen.say(
            f"the master ended {time.monotonic() - began:.1f} s after SIGTERM with exit code {master.returncode}"
        )

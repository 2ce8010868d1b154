"""Scales out and in again and again, and counts what that leaves behind: nothing is the only good result.

    python benchmarks/soak.py [--rounds 200] [--json FILE]

Each round is the master's own path on a simulated device: probe, placement, Ansible, proof; then a drain. Counted after
the first round, after the last and after the end: shared SSH connections, processes, threads, open files and temporary
files here, and SSH sessions and temporary files on the device. Exit code 1 when something has grown. Needs root.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from time_to_scale import DEVICE, Bench, stage

from lab.fleet import Lab
from lab.processes import running
from orchestrator.act.scalein import ScaleIn
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.step import Step
from orchestrator.ansible.server import children
from orchestrator.ansible.shared import is_shared_connection
from orchestrator.project import PROJECT

#: What may come and go by itself; a leak grows by as many as there are rounds.
TOLERANCE = 2
_ON_DEVICE = "pgrep -c sshd; find /tmp ~/.ansible -type f 2>/dev/null | wc -l"
_KIB = 1024

Counts = Mapping[str, int]


def leaks(before: Counts, after: Counts) -> list[str]:
    """What has grown, in words."""
    return [
        f"{name}: {before[name]} after the first round, {count} after the last"
        for name, count in after.items()
        if count > before[name] + TOLERANCE
    ]


def descendants(pid: int) -> list[int]:
    """Children, their children and so on; those included that have ended and were not waited for."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def count(folder: Path, server: int | None, ssh: list[str]) -> dict[str, int]:
    """What there is now.

    Args:
        folder: where everything temporary of the master is.
        server: Ansible's warm process.
        ssh: a command that runs another on the device.
    """
    shared = [line for line in running().values() if is_shared_connection(line) and str(folder) in line[0]]
    on_device = subprocess.run([*ssh, _ON_DEVICE], capture_output=True, text=True, check=True).stdout.split()
    return {
        "ssh_masters": len(shared),
        "processes": len(descendants(os.getpid())) - len(shared),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
        "open_files_of_ansible": len(list(Path(f"/proc/{server}/fd").iterdir())) if server else 0,
        "control_sockets": sum(path.is_socket() for path in folder.rglob("*")),
        "temporary_files": sum(not path.is_dir() for path in folder.rglob("*")),
        "sshd_on_device": int(on_device[0]),
        "temporary_files_on_device": int(on_device[1]),
    }


def resident_mb(pid: int | None) -> float:
    """Resident memory of a process; of Ansible's warm one most is shared with its children."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) if pid else 0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / _KIB**2, 1)


def one_round(bench: Bench) -> None:
    """Scale out by one instance, and in again."""
    steps: list[Step] = []
    means = bench.means(steps)
    started = ScaleOut(bench.service, time.time(), means).run(1, bench.placement)
    gone = ScaleIn(bench.service, time.time(), means).run(started, "the round is over") if started else ()
    if not gone:
        sys.exit(f"a round failed: {[(step.name, step.detail) for step in steps]}")


def left(folder: Path, before: set[int]) -> list[str]:
    """What is still there after the end, in words."""
    files = [f"file {path}" for path in folder.rglob("*")]
    processes = [pid for pid in descendants(os.getpid()) if pid not in before]
    shared = [line[0] for line in running().values() if is_shared_connection(line) and str(folder) in line[0]]
    return [*files, *(f"process {pid}" for pid in processes), *shared]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="scale-outs, each with a scale-in; at least 4")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    arguments = parser.parse_args()
    if arguments.rounds < TOLERANCE + 2:
        parser.error(f"--rounds {arguments.rounds}: fewer than {TOLERANCE + 2} could not show a leak")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    place = PROJECT / ".lab" / "soak"
    with stage(place) as context, tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = Path(temporary)
        tempfile.tempdir = temporary
        ssh = Lab(place / "lab", PROJECT).ssh_command(DEVICE)
        known = set(descendants(os.getpid()))
        bench, began = Bench(context, ssh), time.monotonic()
        try:
            with bench.topics(), bench.first_instance(), bench.traffic():
                one_round(bench)
                before = count(folder, bench.actuator.server, ssh)
                for number in range(2, arguments.rounds + 1):
                    one_round(bench)
                    if number % 10 == 0:
                        print(f"round {number} of {arguments.rounds}, {time.monotonic() - began:.0f} s", flush=True)
                after = count(folder, bench.actuator.server, ssh)
                memory = resident_mb(bench.actuator.server)
        finally:
            bench.close()
        remains = left(folder, known)
    report(arguments.rounds, before, after, remains, memory, arguments.json)


def report(rounds: int, before: Counts, after: Counts, remains: list[str], memory: float, file: Path | None) -> None:
    """Print the counts and the verdict; ends with exit code 1 when something was left behind."""
    print(f"{'':28}after 1   after {rounds}")
    for name, found in after.items():
        print(f"  {name:26}{before[name]:7}{found:10}")
    print(f"  memory of Ansible's warm process: {memory:.0f} MB")
    wrong = leaks(before, after) + [f"left after the end: {what}" for what in remains]
    if file:
        figures = {"rounds": rounds, "before": before, "after": after, "left": remains, "leaks": wrong}
        file.write_text(json.dumps({**figures, "server_rss_mb": memory, "clean": not wrong}, indent=2) + "\n")
    if wrong:
        sys.exit("\n".join([f"{rounds} scale-outs and scale-ins leave something behind:", *wrong]))
    print(f"{rounds} scale-outs and scale-ins leave nothing behind")


if __name__ == "__main__":
    main()

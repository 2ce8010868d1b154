"""Seconds until an instance runs on each of 32 prepared devices, all told at once, and the master's memory meanwhile.

    python benchmarks/fleet_deploy.py [--hosts 32] [--rounds 3] [--json FILE]

Every contender starts the same unit of the same release on the same devices, all of which have a cold SSH connection,
and its clock stops when the broker lists the last instance as a member of the group. Named alternatives, one after the
other in each round:

- *ansible defaults*: the same playbook, ``playbooks/deploy.yml``, by ``ansible-playbook`` with an ``ansible.cfg`` that
  says nothing but where roles are. So: 5 forks, no pipelining, connections kept for 60 s, Ansible's own choice of the
  device's Python. The playbook itself gathers no facts, here as there.
- *raw ssh*: one ``ssh`` for each device, all at once, that pipes the very shell script of the role into ``sudo sh``.
- *pyinfra*: ``server.shell`` with that script, with sudo, and as many connections at once as it likes (its default).

*ours* is the master's own path: one decision for all devices, one Ansible run, each instance proved from Kafka; its
figure is taken at the same instant as the others', and the time until all are proved is printed beside it.

The devices have a processor of their own, as Pis do, and so has the master: all cores but one are shared out among
the devices, each of which is limited to its share (3 % of a core for 32 of them on two cores). Otherwise they would
queue for the same cores, and keep the master from telling the next of them, which no choice of tool could change and
no fleet knows. The code they start does nothing, for the same reason. The topic has a partition for each device
beforehand. Medians; needs root. pyinfra wants an older paramiko than the master: it is taken from an environment of
its own, see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
from collections.abc import Mapping
from pathlib import Path

from fleet.contenders import PYINFRA, Bench
from fleet.stage import stage

from orchestrator.broker.cluster import Cluster
from orchestrator.project import PROJECT

#: What each ratio is to be at least, or at most.
GOALS = {"vs_ansible_defaults": ("at least", 5.0), "vs_raw_ssh": ("at most", 2.0)}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=32, help="devices (default: 32)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, whose medians count (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    arguments = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with stage(PROJECT / ".lab" / "fleet-deploy", arguments.hosts) as on:
        bench = Bench(on)
        contenders = {
            "ours": bench.ours, "raw ssh": bench.raw_ssh, "pyinfra": bench.pyinfra,
            "ansible defaults": bench.ansible_defaults,
        }  # fmt: skip
        if not PYINFRA.exists():
            print(f"pyinfra is not in {PYINFRA}: left out, see docs/benchmarks.md")
            del contenders["pyinfra"]
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        cluster = Cluster(on.context.admin_options())
        for name, partitions in (("in", arguments.hosts), ("observer", 1)):
            cluster.create(name, partitions)
        cluster.close()
        bench.measure(bench.raw_ssh)  # the first start of all fills the devices' caches
        for number in range(1, arguments.rounds + 1):
            for name, contender in contenders.items():
                seconds[name].append(bench.measure(contender))
                print(f"round {number}: {name} {seconds[name][-1]:.1f} s", flush=True)
        bench.actuator.close()
        bench.arrivals.close()
    report(arguments.hosts, seconds, bench.proved, bench.master_mb, arguments.json)


def report(
    hosts: int, seconds: Mapping[str, list[float]], proved: list[float], master_mb: list[float], file: Path | None
) -> None:
    """Print medians, ratios and goals, and write them."""
    median = {name: statistics.median(rounds) for name, rounds in seconds.items()}
    ours = median["ours"]
    print(f"\n{hosts} devices at once, until the last is a member of its group, medians of {len(proved)} rounds")
    for name, value in median.items():
        print(f"  {name:18} {value:7.1f} s")
    print(f"ours, until all are proved: {statistics.median(proved):.1f} s")
    print(f"memory of the master's processes at their most: {max(master_mb):.0f} MB")
    figures: dict[str, float] = {
        "vs_ansible_defaults": median["ansible defaults"] / ours,
        "vs_raw_ssh": ours / median["raw ssh"],
        "median_s": ours,
        "proved_s": statistics.median(proved),
        "master_mb": max(master_mb),
        "hosts": hosts,
        "rounds": len(proved),
    }
    if "pyinfra" in median:
        figures["vs_pyinfra"] = median["pyinfra"] / ours
        print(f"times faster than pyinfra: {figures['vs_pyinfra']:.2f}")
    for name, (kind, goal) in GOALS.items():
        met = figures[name] >= goal if kind == "at least" else figures[name] <= goal
        print(f"{name}: {figures[name]:.2f}, goal {kind} {goal:g}: {'met' if met else 'MISSED'}")
    if file:
        file.write_text(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()

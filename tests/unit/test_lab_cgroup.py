"""Control groups on plain v2, where no device could be started when this was written: what is written where."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cgroup import Cgroup, Trees
from lab.errors import LabError


def v2_tree(root: Path, controllers: str) -> Path:
    for folder in (root, root / "fv-123456"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text(controllers)
        (folder / "cgroup.subtree_control").write_text("")
    return root


def hybrid_tree(root: Path) -> Path:
    for tree in ("unified", "cpu", "systemd"):
        (root / tree).mkdir()
        (root / tree / "cgroup.procs").touch()
    return root


def test_on_v2_the_quota_goes_into_the_one_tree(tmp_path: Path) -> None:
    """Otherwise a simulated Pi is as fast as the machine there."""
    root = v2_tree(tmp_path, "cpuset cpu io memory")
    group = Cgroup(Trees.detect(root), "fv-123456/pi-1")
    group.create()
    group.limit_cpu(25)
    assert (root / "fv-123456/pi-1/cpu.max").read_text() == "25000 100000"
    assert group.cpu_limit() == 25
    group.limit_cpu(None)
    assert group.cpu_limit() is None
    assert group.entries() == [root / "fv-123456/pi-1/cgroup.procs"]


def test_v2_without_the_cpu_controller_is_refused_with_the_reason(tmp_path: Path) -> None:
    root = v2_tree(tmp_path, "memory pids")
    with pytest.raises(LabError, match="has no cpu controller: devices cannot be limited"):
        Cgroup(Trees.detect(root), "fv-123456/pi-1").create()


def test_on_a_hybrid_machine_the_quota_goes_into_the_v1_tree(tmp_path: Path) -> None:
    root = hybrid_tree(tmp_path)
    group = Cgroup(Trees.detect(root), "fv-123456/pi-1")
    group.create()
    group.limit_cpu(150)
    assert (root / "cpu/fv-123456/pi-1/cpu.cfs_quota_us").read_text() == "150000"
    assert group.cpu_limit() == 150


def test_nothing_that_systemd_nspawn_copies_stays_behind(tmp_path: Path) -> None:
    root = hybrid_tree(tmp_path)
    trees = Trees.detect(root)
    for tree in ("unified", "systemd"):
        (root / tree / "fv-123456/pi-1/payload/init.scope").mkdir(parents=True)
    (root / "unified/fv-999999").mkdir()
    trees.remove("fv-123456")
    assert [path.name for path in root.glob("*/fv-*")] == ["fv-999999"]


def test_a_machine_without_usable_control_groups_is_told_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"start the machine with systemd\.unified_cgroup_hierarchy=1"):
        Trees.detect(tmp_path)


def test_a_group_that_is_gone_counts_as_a_device_that_is_off(tmp_path: Path) -> None:
    group = Cgroup(Trees.detect(hybrid_tree(tmp_path)), "fv-123456/pi-1")
    assert not group.is_populated()
    assert not group.is_frozen()
    assert not group.has_booted()
    group.kill()
    with pytest.raises(LabError, match="the device is off"):
        group.limit_cpu(25)


def test_many_devices_weigh_as_many_processes(tmp_path: Path) -> None:
    """Lost otherwise: thirty devices that share what one process of this machine gets, and miss every time-out."""
    trees = Trees.detect(hybrid_tree(tmp_path))
    for number in (1, 2, 3):
        Cgroup(trees, f"fv-123456/pi-{number}").create()
    assert (tmp_path / "cpu/fv-123456/cpu.shares").read_text() == "3072"

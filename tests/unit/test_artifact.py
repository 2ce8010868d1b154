"""Artifacts: the name of a release is its content, and nothing but its content."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from orchestrator import artifact
from orchestrator.artifact import ArtifactError, checksum, main, pack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "service"
    (root / "package" / "__pycache__").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "package" / "__init__.py").write_text("")
    (root / "package" / "code.py").write_text("def process(message): ...\n")
    (root / "package" / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"compiled")
    (root / ".git" / "HEAD").write_text("ref")
    (root / ".env").write_text("PASSWORD=secret")
    (root / "requirements.txt").write_text("nltk==3.10.4\n")
    return root


def names(tarball: str) -> list[str]:
    with tarfile.open(tarball) as archive:
        return archive.getnames()


def test_devices_do_not_get_secrets_history_or_compiled_files(folder: Path, tmp_path: Path) -> None:
    packed = pack(folder, tmp_path / "out")
    assert packed.tarball is not None
    assert names(packed.tarball) == ["package/__init__.py", "package/code.py", "requirements.txt"]


def test_the_same_code_elsewhere_and_later_is_not_shipped_again(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, tmp_path / "one")
    os.utime(folder / "package" / "code.py", (1, 1))
    (folder / "package" / "code.py").chmod(0o700)
    (folder / "package" / "__pycache__" / "more.pyc").write_bytes(b"x")
    moved = folder.rename(tmp_path / "checkout-of-somebody-else")
    second = pack(moved, tmp_path / "two")
    assert first.tarball is not None
    assert second.tarball is not None
    assert first.checksum == second.checksum
    assert Path(first.tarball).read_bytes() == Path(second.tarball).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "package" / "code.py").write_text("def process(message): return message\n"),
        lambda root: (root / "package" / "code.py").rename(root / "package" / "other.py"),
        lambda root: (root / "package" / "model.json").write_text("{}"),
        lambda root: (root / "requirements.txt").write_text("nltk==3.10.5\n"),
    ],
    ids=["content", "name", "new file", "requirements"],
)
def test_every_change_gives_a_new_release(folder: Path, change: object) -> None:
    before = checksum(folder)
    assert callable(change)
    change(folder)
    assert checksum(folder) != before


def test_moving_text_between_files_gives_a_new_release(tmp_path: Path) -> None:
    """Without lengths in the digest these two folders would be one release."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "a").write_text("x")
    (one / "b").write_text("")
    (two / "a").write_text("")
    (two / "b").write_text("x")
    assert checksum(one) != checksum(two)


def test_a_checksum_is_what_other_tools_and_older_releases_call_it(tmp_path: Path) -> None:
    """A changed algorithm would reinstall every service on every device."""
    (tmp_path / "code.py").write_text("x = 1\n")
    assert checksum(tmp_path) == hashlib.sha256(b"7 code.py 6 x = 1\n").hexdigest()[:12] == "78c23efe4cff"


@pytest.mark.parametrize("keep", [0, 40, -5])
def test_a_damaged_archive_is_packed_anew(folder: Path, tmp_path: Path, keep: int) -> None:
    """Lost: devices get half of the code under the name of the whole."""
    first = pack(folder, tmp_path)
    assert first.tarball is not None
    whole = Path(first.tarball).read_bytes()
    Path(first.tarball).write_bytes(whole[:keep])
    pack(folder, tmp_path)
    assert Path(first.tarball).read_bytes() == whole


def test_an_archive_is_not_written_twice(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, tmp_path)
    assert first.tarball is not None
    before = Path(first.tarball).stat().st_mtime_ns
    assert pack(folder, tmp_path) == first
    assert Path(first.tarball).stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.glob("*.tar.gz*")] == [f"{first.checksum}.tar.gz"]


def test_requirements_are_found_beside_the_package_only(folder: Path, tmp_path: Path) -> None:
    assert pack(folder, tmp_path).requirements == str(folder / "requirements.txt")
    (folder / "requirements.txt").unlink()
    assert pack(folder, tmp_path).requirements is None


def test_a_wheel_is_an_artifact_too(tmp_path: Path) -> None:
    wheel = tmp_path / "service-1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    packed = pack(wheel, tmp_path / "out")
    assert (packed.wheel, packed.tarball, packed.requirements) == (str(wheel), None, None)
    assert packed.checksum == checksum(wheel)


@pytest.mark.parametrize("name", ["missing", "empty", "file.txt"])
def test_what_cannot_be_shipped_is_refused_with_the_key_to_correct(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(ArtifactError, match=r"artifact|put the service's code there"):
        pack(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "nowhere", "."])
def test_links_never_carry_files_from_outside_to_devices(folder: Path, target: str) -> None:
    (folder.parent / "secret").write_text("x")
    (folder / "link").symlink_to(target)
    with pytest.raises(ArtifactError, match="link"):
        checksum(folder)


def test_a_link_to_a_file_inside_arrives_as_a_file(folder: Path, tmp_path: Path) -> None:
    (folder / "alias.py").symlink_to("package/code.py")
    packed = pack(folder, tmp_path)
    assert packed.tarball is not None
    with tarfile.open(packed.tarball) as archive:
        member = archive.getmember("alias.py")
        assert member.isfile()
        assert member.size == (folder / "package" / "code.py").stat().st_size


def test_archives_do_not_carry_the_builders_identity(folder: Path, tmp_path: Path) -> None:
    packed = pack(folder, tmp_path)
    assert packed.tarball is not None
    with tarfile.open(packed.tarball) as archive:
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode) for m in archive} == {(0, 0, "", "", 0, 0o644)}


def test_playbooks_get_one_json_object(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(folder), "--into", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "checksum": artifact.checksum(folder),
        "tarball": str(tmp_path / f"{artifact.checksum(folder)}.tar.gz"),
        "requirements": str(folder / "requirements.txt"),
        "wheel": None,
        "megabytes": 0.0,
    }


def test_playbooks_get_the_reason_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(tmp_path / "missing"), "--into", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "correct 'artifact' of the service" in output.err
    assert "Traceback" not in output.err

"""Disk: the order of its operations is what survives a power cut, so the order is what is checked."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline.disk import Disk, names_in


class LoggedDisk(Disk):
    """Do the work and keep a list of the single operations, in order."""

    def __init__(self, *, other_file_system: bool = False) -> None:
        self.operations: list[str] = []
        self._other_file_system = other_file_system

    def _mkdir(self, folder: Path) -> None:
        self.operations.append(f"mkdir {folder.name}")
        super()._mkdir(folder)

    def _write(self, path: Path, data: bytes, *, flags: int) -> None:
        self.operations.append(f"write {path.name}")
        super()._write(path, data, flags=flags)

    def _copy(self, source: Path, target: Path) -> None:
        self.operations.append(f"copy {source.name} {target.name}")
        super()._copy(source, target)

    def _rename(self, source: Path, target: Path) -> None:
        self.operations.append(f"rename {source.name} {target.name}")
        if self._other_file_system and source.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super()._rename(source, target)

    def _unlink(self, path: Path) -> None:
        self.operations.append(f"unlink {path.name}")
        super()._unlink(path)

    def _sync_folder(self, folder: Path) -> None:
        self.operations.append(f"sync {folder.name}")
        super()._sync_folder(folder)


class HalfWritingDisk(Disk):
    """Write half of what is asked and find the disk full."""

    def _write(self, path: Path, data: bytes, *, flags: int) -> None:
        super()._write(path, data[: len(data) // 2], flags=flags)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    left, right = tmp_path / "left", tmp_path / "right"
    left.mkdir()
    right.mkdir()
    return left, right


def test_each_new_folder_is_synced_into_its_parent_before_the_next(tmp_path: Path) -> None:
    """Missing parents are made from the top, each made fast in its own parent."""
    disk = LoggedDisk()
    disk.make_folder(tmp_path / "a" / "b")
    disk.make_folder(tmp_path / "a" / "b")
    assert disk.operations == ["mkdir a", f"sync {tmp_path.name}", "mkdir b", "sync a"]
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_is_made_with_its_first_file(tmp_path: Path) -> None:
    """Its names are synced once both are there, the inner one first; a missing parent is not made."""
    disk = LoggedDisk()
    disk.make_folder_with(tmp_path / "job" / "log", b"one\n")
    assert disk.operations == ["mkdir job", "write log", "sync job", f"sync {tmp_path.name}"]
    assert (tmp_path / "job" / "log").read_bytes() == b"one\n"
    with pytest.raises(FileNotFoundError):
        disk.make_folder_with(tmp_path / "gone" / "job" / "log", b"")


def test_what_a_file_begins_with_is_written_once(tmp_path: Path) -> None:
    """A new file begins with it, and so does one that a crash left empty."""
    disk = LoggedDisk()
    for line in (b"one\n", b"two\n"):
        disk.append(tmp_path / "log", line, first=lambda: b"top\n")
    assert (tmp_path / "log").read_bytes() == b"top\none\ntwo\n"
    disk.cut(tmp_path / "log", 0)
    disk.append(tmp_path / "log", b"one\n", first=lambda: b"top\n")
    assert (tmp_path / "log").read_bytes() == b"top\none\n"


def test_append_syncs_the_folder_only_for_a_new_file(tmp_path: Path) -> None:
    """A new name has to be synced into its folder, a known one not again."""
    disk = LoggedDisk()
    disk.append(tmp_path / "log", b"one\n")
    disk.append(tmp_path / "log", b"two\n")
    assert disk.operations == ["write log", f"sync {tmp_path.name}", "write log"]
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


def test_append_that_the_disk_has_no_room_for_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Half a line would stand before the next append and make the whole file unreadable."""
    path = tmp_path / "log"
    path.write_bytes(b"whole\n")
    with pytest.raises(OSError, match="No space"):
        HalfWritingDisk().append(path, b"another line\n")
    assert path.read_bytes() == b"whole\n"


def test_append_without_room_leaves_a_new_file_empty(tmp_path: Path) -> None:
    """The same for a file that did not exist before."""
    with pytest.raises(OSError, match="No space"):
        HalfWritingDisk().append(tmp_path / "log", b"another line\n")
    assert (tmp_path / "log").read_bytes() == b""


def test_cut_shortens_the_file(tmp_path: Path) -> None:
    """What stands behind the size goes, what stands before it stays."""
    path = tmp_path / "log"
    path.write_bytes(b"whole\ntorn")
    Disk().cut(path, 6)
    assert path.read_bytes() == b"whole\n"


def test_publish_writes_and_syncs_beside_before_it_renames(tmp_path: Path) -> None:
    """The name shows the old or the new content, never a part of either."""
    path = tmp_path / "result.json"
    path.write_bytes(b"old, and longer than the new")
    disk = LoggedDisk()
    disk.publish(path, b"new")
    assert disk.operations == [
        "write .result.json.writing",
        "rename .result.json.writing result.json",
        f"sync {tmp_path.name}",
    ]
    assert path.read_bytes() == b"new"
    assert list(names_in(tmp_path)) == ["result.json"]


def test_publish_over_a_leftover_of_a_crash_does_not_keep_its_tail(tmp_path: Path) -> None:
    """A temporary file that an earlier process left behind is begun again."""
    (tmp_path / ".result.json.writing").write_bytes(b"a much longer leftover")
    Disk().publish(tmp_path / "result.json", b"new")
    assert (tmp_path / "result.json").read_bytes() == b"new"


def test_publish_without_room_keeps_the_old_content(tmp_path: Path) -> None:
    """A full disk costs the new content only."""
    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        HalfWritingDisk().publish(path, b"newer")
    assert path.read_bytes() == b"old"


def test_move_is_one_rename_and_both_folders_synced(folders: tuple[Path, Path]) -> None:
    """The target's folder first: a power cut then shows the file twice at worst, never not at all."""
    left, right = folders
    (left / "a").write_bytes(b"data")
    disk = LoggedDisk()
    disk.move(left / "a", right / "b")
    assert disk.operations == ["rename a b", "sync right", "sync left"]
    assert (right / "b").read_bytes() == b"data"


def test_move_within_a_folder_syncs_it_once(tmp_path: Path) -> None:
    """One folder, one sync."""
    (tmp_path / "a").write_bytes(b"data")
    disk = LoggedDisk()
    disk.move(tmp_path / "a", tmp_path / "b")
    assert disk.operations == ["rename a b", f"sync {tmp_path.name}"]


def test_move_to_another_file_system_removes_the_source_last(folders: tuple[Path, Path]) -> None:
    """Copy, sync, rename, sync, and only then unlink."""
    left, right = folders
    (left / "a").write_bytes(b"data" * 1_000_000)
    disk = LoggedDisk(other_file_system=True)
    disk.move(left / "a", right / "b")
    assert disk.operations == [
        "rename a b",
        "copy a .b.writing",
        "rename .b.writing b",
        "sync right",
        "unlink a",
        "sync left",
    ]
    assert (right / "b").read_bytes() == b"data" * 1_000_000
    assert not (left / "a").exists()


def test_move_never_overwrites(folders: tuple[Path, Path]) -> None:
    """A target that exists, be it only a dangling link, is an error and both files stay."""
    left, right = folders
    (left / "a").write_bytes(b"new")
    (right / "b").write_bytes(b"old")
    (right / "link").symlink_to(right / "nowhere")
    for target in ("b", "link"):
        with pytest.raises(FileExistsError):
            Disk().move(left / "a", right / target)
    assert (left / "a").read_bytes() == b"new"
    assert (right / "b").read_bytes() == b"old"


def test_move_of_a_folder_to_another_file_system_is_refused(folders: tuple[Path, Path]) -> None:
    """Job folders are renamed or not moved at all."""
    left, right = folders
    (left / "job").mkdir()
    with pytest.raises(OSError, match="device") as caught:
        LoggedDisk(other_file_system=True).move(left / "job", right / "job")
    assert caught.value.errno == errno.EXDEV
    assert (left / "job").is_dir()


def test_other_errors_of_a_move_pass_through(folders: tuple[Path, Path]) -> None:
    """A file that is gone is not mistaken for a change of file systems."""
    left, right = folders
    with pytest.raises(FileNotFoundError):
        Disk().move(left / "gone", right / "b")


def test_removing_what_is_gone_is_fine(tmp_path: Path) -> None:
    """Removal repeated after a crash finds nothing and says nothing."""
    (tmp_path / "a").write_bytes(b"data")
    Disk().remove(tmp_path / "a")
    Disk().remove(tmp_path / "a")
    assert list(names_in(tmp_path)) == []


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    """Folders are removed whole."""
    (tmp_path / "job" / "inner").mkdir(parents=True)
    (tmp_path / "job" / "inner" / "a").write_bytes(b"data")
    Disk().remove_folder(tmp_path / "job")
    assert list(names_in(tmp_path)) == []


def test_names_in_a_missing_folder_are_none(tmp_path: Path) -> None:
    """A folder that is not there holds nothing."""
    assert list(names_in(tmp_path / "gone")) == []

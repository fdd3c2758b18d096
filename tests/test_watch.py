"""Hints that a folder changed, and the choice between events and polling."""

from __future__ import annotations

import shutil
from pathlib import Path

import anyio
import pytest

from pipeline.watch import file_system, hints, must_poll

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs {root}/quick tmpfs rw 0 0
systemd-1 {root}/share autofs rw 0 0
//nas/office {root}/share cifs rw 0 0
nas:/a {root}/with\\040space nfs4 rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    for name in ("quick", "share", "with space", "shared"):
        (tmp_path / name / "inbox").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "share")
    path = tmp_path / "mounts"
    path.write_text(MOUNTS.format(root=tmp_path))
    return path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("quick/inbox", "tmpfs"),
        ("share", "cifs"),
        ("share/inbox", "cifs"),
        ("link/inbox", "cifs"),
        ("with space/inbox", "nfs4"),
        ("shared/inbox", "ext4"),
        ("quick/not/yet/there", "tmpfs"),
    ],
)
def test_the_innermost_and_last_mount_names_the_file_system(
    tmp_path: Path, mounts: Path, folder: str, kind: str
) -> None:
    """Links are followed, escaped spaces read, and of two mounts on one point the upper one counts."""
    assert file_system(tmp_path / folder, mounts) == kind


def test_a_system_without_a_list_of_mounts_names_none(tmp_path: Path) -> None:
    """Other systems are taken at their word that events work."""
    assert file_system(tmp_path, tmp_path / "gone") == ""


def test_polling_can_be_asked_for_and_forbidden(tmp_path: Path) -> None:
    """The setting wins over what is known of the folder; a local folder needs no polling."""
    assert [must_poll(tmp_path, setting) for setting in ("always", "never", "auto")] == [True, False, False]


async def test_a_new_file_gives_a_hint_and_stop_ends_the_watch(tmp_path: Path) -> None:
    """A drop is noticed without waiting for the rescan; afterwards nothing hangs."""
    stop, looked = anyio.Event(), 0
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def drop_until_seen() -> None:
                number = 0
                while not stop.is_set():  # the watch may not have begun yet
                    (tmp_path / f"{number}.pdf").touch()
                    number += 1
                    await anyio.sleep(0.02)

            tasks.start_soon(drop_until_seen)
            async for _ in hints(tmp_path, stop, polling="never", retry_seconds=1):
                looked += 1
                stop.set()
    assert looked == 1


async def test_a_folder_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """A watch that cannot start is started again, and finds the folder once it exists."""
    stop, folder = anyio.Event(), tmp_path / "inbox"
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def make_and_drop() -> None:
                await anyio.sleep(0.05)
                await anyio.Path(folder).mkdir()
                while not stop.is_set():
                    (folder / "a.pdf").write_text(str(anyio.current_time()))
                    await anyio.sleep(0.02)

            tasks.start_soon(make_and_drop)
            async for _ in hints(folder, stop, polling="never", retry_seconds=0.01):
                stop.set()
    assert stop.is_set()


async def test_stop_ends_the_wait_for_a_lost_folder_at_once(tmp_path: Path) -> None:
    """Stopping does not take as long as the next attempt to watch."""
    stop = anyio.Event()
    with anyio.move_on_after(5) as patience:
        async with anyio.create_task_group() as tasks:

            async def stop_soon() -> None:
                await anyio.sleep(0.05)
                stop.set()

            tasks.start_soon(stop_soon)
            seen = [hint async for hint in hints(tmp_path / "gone", stop, polling="never", retry_seconds=3600)]
    assert not patience.cancelled_caught
    assert seen == []


async def test_a_folder_that_was_removed_is_watched_again_when_it_is_back(tmp_path: Path) -> None:
    """Somebody empties the inbox by removing it; files dropped into the new one are noticed as before."""
    stop, folder = anyio.Event(), tmp_path / "inbox"
    await anyio.Path(folder).mkdir()
    removed = False
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def drop() -> None:
                while not stop.is_set():
                    if folder.is_dir():
                        (folder / "a.pdf").write_text(str(anyio.current_time()))
                    await anyio.sleep(0.02)

            tasks.start_soon(drop)
            async for _ in hints(folder, stop, polling="never", retry_seconds=0.3):
                if removed and folder.is_dir():
                    stop.set()
                elif not removed:
                    shutil.rmtree(folder)
                    removed = True
                    tasks.start_soon(make_again, folder)
    assert stop.is_set()


async def make_again(folder: Path) -> None:
    await anyio.sleep(0.3)
    await anyio.Path(folder).mkdir()

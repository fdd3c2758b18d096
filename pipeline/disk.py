"""The only module that changes the disk.

Every change is made of the few operations in `Disk`, in an order that survives a kill or a power cut between any two
of them: write to a temporary name, sync the file, rename, sync the folder. Tests replace the object to make
operation n fail.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path

from pipeline.errors import StorageFault

TEMPORARY_SUFFIX = ".writing"
_COPY_CHUNK_BYTES = 1024 * 1024
# What holds for every file of a file system, and passes when a person makes room or mounts it again.
_WHOLE_DISK = {errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENODEV, errno.ENXIO, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FOLDER_LOST = {errno.ENOENT, errno.EACCES, errno.EPERM, getattr(errno, "ESTALE", errno.EIO)}


class Disk:
    """Change files and folders durably; every method returns after the change has been synced.

    The methods with a leading underscore are the single operations; all others are built from them.
    """

    def make_folder(self, folder: Path) -> None:
        """Create the folder and its parents; existing ones are fine."""
        missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
        for path in reversed(missing):
            self._mkdir(path)
            self._sync_folder(path.parent)

    def make_folder_with(self, file: Path, data: bytes) -> None:
        """Create a folder, whose parent must be there, with one file in it.

        Both names are synced after the file: until this returns nothing is in there that could be lost.
        """
        self._mkdir(file.parent)
        self._write(file, data, flags=os.O_TRUNC)
        self._sync_folder(file.parent)
        self._sync_folder(file.parent.parent)

    def append(self, path: Path, data: bytes, *, first: Callable[[], bytes] = bytes) -> None:
        """Add bytes at the end of the file, creating it where needed; an empty one begins with `first`."""
        try:
            size, created = path.stat().st_size, False
        except FileNotFoundError:
            size, created = 0, True
        try:
            self._write(path, data if size else first() + data, flags=os.O_APPEND)
        except OSError:
            # A full disk writes a part; what is appended next must not stand behind half a line.
            with contextlib.suppress(OSError):
                self._truncate(path, size)
            raise
        if created:
            self._sync_folder(path.parent)

    def cut(self, path: Path, size: int) -> None:
        """Shorten the file to `size` bytes."""
        self._truncate(path, size)

    def publish(self, path: Path, data: bytes) -> None:
        """Put the bytes under that name, whole or not at all, replacing what was there."""
        temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
        self._write(temporary, data, flags=os.O_TRUNC)
        self._rename(temporary, path)
        self._sync_folder(path.parent)

    def publish_written(self, path: Path, write: Callable[[Path], None]) -> None:
        """Let `write` fill a file, and put it under that name, whole or not at all; for what is too large to hold."""
        temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
        try:
            write(temporary)
            self._sync_file(temporary)
            self._rename(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._sync_folder(path.parent)

    def move(self, source: Path, target: Path) -> None:
        """Move a file or folder; between file systems a file is copied, synced and only then removed.

        Raises FileExistsError where the target exists: nothing is ever overwritten by a move.
        """
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        try:
            self._rename(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV or source.is_dir():
                raise
            self.copy(source, target)
            self.remove(source)
            return
        self._sync_folder(target.parent)
        if source.parent != target.parent:
            self._sync_folder(source.parent)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a file under the name, whole or not at all."""
        temporary = target.with_name(f".{target.name}{TEMPORARY_SUFFIX}")
        self._copy(source, temporary)
        self._rename(temporary, target)
        self._sync_folder(target.parent)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""
        self._unlink(path)
        self._sync_folder(path.parent)

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and what is in it."""
        self._rmtree(folder)
        self._sync_folder(folder.parent)

    def _mkdir(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)

    def _write(self, path: Path, data: bytes, *, flags: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags | getattr(os, "O_BINARY", 0), 0o644)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _copy(self, source: Path, target: Path) -> None:
        with source.open("rb") as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer, _COPY_CHUNK_BYTES)
            writer.flush()
            os.fsync(writer.fileno())

    def _sync_file(self, path: Path) -> None:
        with path.open("rb+") as file:
            os.fsync(file.fileno())

    def _truncate(self, path: Path, size: int) -> None:
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def _rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def _unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def _rmtree(self, folder: Path) -> None:
        shutil.rmtree(folder)

    def _sync_folder(self, folder: Path) -> None:
        # Windows cannot open a folder for syncing; NTFS journals the rename itself.
        if os.name == "nt":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def storage_fault(error: OSError) -> StorageFault | None:
    """Return what the error means for everything that is kept there; None where it concerns one file alone."""
    if error.errno not in _WHOLE_DISK | _FOLDER_LOST:
        return None
    hint = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make the folder writable again"
    return StorageFault(f"{error.filename or 'the disk'}: {error.strerror}", hint=f"{hint}; work goes on by itself")


def names_in(folder: Path) -> Iterable[str]:
    """Yield the names in a folder, nothing where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except FileNotFoundError:
        return


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

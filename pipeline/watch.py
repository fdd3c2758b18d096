"""Hints that something changed in a folder: the only module that knows watchfiles.

A hint may be missed or come twice; the listing is the truth. On network folders, where the system reports nothing,
watchfiles polls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import structlog
from watchfiles import awatch

log = structlog.get_logger()

_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "drvfs", "vboxsf", "fuse.rclone"}
)
_DEBOUNCE_MS = 200
_POLL_MS = 1000


async def hints(folder: Path, stop: anyio.Event, *, polling: str, retry_seconds: float) -> AsyncIterator[None]:
    """Yield once for every burst of changes below the folder, until `stop` is set.

    A watcher that fails (the folder vanished, the system's limit of watches is used up) is started again after
    `retry_seconds`.
    """
    while not stop.is_set():
        try:
            await anyio.Path(
                folder
            ).stat()  # watchfiles would take a missing folder for one it may not read, and wait for ever
            async for _ in awatch(
                folder, stop_event=stop, debounce=_DEBOUNCE_MS, force_polling=must_poll(folder, polling),
                poll_delay_ms=_POLL_MS, ignore_permission_denied=True, watch_filter=None,
            ):  # fmt: skip
                yield
                if not await anyio.Path(folder).exists():
                    break
        except (
            OSError,
            RuntimeError,
            ExceptionGroup,
        ) as error:  # one name that is no UTF-8 ends watchfiles, in a group
            log.warning("watch.lost", folder=str(folder), error=str(error), retry_seconds=retry_seconds)
        with anyio.move_on_after(retry_seconds):
            await stop.wait()


def must_poll(folder: Path, polling: str) -> bool:
    """Say whether changes below the folder are found by polling; `polling` is auto, always or never."""
    if polling != "auto":
        return polling == "always"
    return file_system(folder) in _NETWORK_FILE_SYSTEMS


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system the folder lies on, empty where the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    resolved = folder.resolve()
    best, found = -1, ""
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        place = Path(point.replace("\\040", " "))
        # The last of several mounts on one point is the one that is seen, as with automounted shares.
        if resolved.is_relative_to(place) and len(place.parts) >= best:
            best, found = len(place.parts), kind
    return found

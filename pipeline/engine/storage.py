"""Who could not write: said once when it begins and once when it is over, however many wait."""

from __future__ import annotations

import structlog

from pipeline.errors import StorageFault

log = structlog.get_logger()


class Storage:
    """Remember who waits for the disk."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()

    def is_lost_to_others(self, who: str) -> bool:
        """Say whether anybody but `who` waits for the disk."""
        return bool(self._waiting - {who})

    def failed(self, who: str, fault: StorageFault) -> None:
        """Note that `who` could not write."""
        if not self._waiting:
            log.error("storage.lost", error=fault.message, hint=fault.hint)
        self._waiting.add(who)

    def worked(self, who: str) -> None:
        """Note that `who` could write."""
        if who in self._waiting:
            self.left(who)
            if not self._waiting:
                log.info("storage.found")

    def left(self, who: str) -> None:
        """Forget `who`, which does not wait any more."""
        self._waiting.discard(who)

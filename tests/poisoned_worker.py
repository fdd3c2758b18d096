"""`pipeline worker` with a model client that ends the whole process at documents with a mark in them."""

from __future__ import annotations

from poisoned_daemon import DeadlyWorker

import pipeline.cluster.worker_parts
from pipeline.cli.main import main

if __name__ == "__main__":
    pipeline.cluster.worker_parts.Worker = DeadlyWorker  # type: ignore[assignment, misc]
    main()

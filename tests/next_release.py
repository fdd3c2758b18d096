"""The pipeline as a later release of itself."""

from __future__ import annotations

import sys

import pipeline

pipeline.__version__ = "99.0.0"

if __name__ == "__main__":
    from pipeline.cli.main import main

    sys.exit(main())

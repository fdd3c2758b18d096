"""What hostile files cost: state, time and memory of each, of the file behind it, and of the daemon.

    python tests/benchmarks/hostile.py [NAME ...]

Drops every file of the test suite (or those whose names hold one of the words given) into a real daemon. Linux only.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from hostile_files import hostile_files
from hostile_harness import besiege


def main(words: list[str]) -> None:
    """Print the table."""
    files = [file for file in hostile_files() if not words or any(word in file.name for word in words)]
    with tempfile.TemporaryDirectory() as place:
        siege = besiege(Path(place), files)
    print(f"{'file':32}{'state':8}{'reason':16}{'seconds':>8}{'reader MB':>11}  next file")
    for one in siege.measured:
        print(f"{one.name:32}{one.state:8}{one.reason:16}{one.seconds:8.1f}{one.peak_mb:11.0f}  {one.next_state}")
    print(f"daemon: {siege.before_mb:.0f} MB before, {siege.after_mb:.0f} MB after")


if __name__ == "__main__":
    main(sys.argv[1:])

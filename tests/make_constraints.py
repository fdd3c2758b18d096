"""Write the constraints files: every package that gets installed, with version and hashes, for all platforms.

    python tests/make_constraints.py

They name no index: pip takes the one it is set up with.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = {"constraints.txt": ("build",), "constraints-dev.txt": ("build", "dev", "scan", "cluster")}
HEADER = (
    "# Made by tests/make_constraints.py from pyproject.toml. Names, versions and hashes of all that is installed.\n"
)


def main() -> None:
    """Resolve both sets, keeping the versions that already stand there where they still fit."""
    for name, extras in FILES.items():
        path = ROOT / name
        options = [part for extra in extras for part in ("--extra", extra)]
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *options, "--output-file", str(path)]
        command += [
            "--universal",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
            "--quiet",
            "--python-version=3.11",
        ]
        subprocess.run([*command, "--no-emit-index-url", "--no-emit-find-links"], check=True, cwd=ROOT)
        path.write_text(HEADER + path.read_text())


if __name__ == "__main__":
    main()

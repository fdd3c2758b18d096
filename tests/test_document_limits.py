from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to these limits")

SCRIPT = """
import resource, sys
sys.path[:] = {path!r}
from pipeline.document.limits import limit_cpu, limit_memory
while resource.getrusage(resource.RUSAGE_SELF).ru_utime < 0.1:
    pass
limit_cpu(7)
print(resource.getrlimit(resource.RLIMIT_CPU)[0])
kept = bytearray(50_000_000)
limit_memory(100_000_000)
more = bytearray(60_000_000)
try:
    bytearray(60_000_000)
except MemoryError:
    print("refused")
"""


def test_limits_count_from_what_the_process_has_used_already() -> None:
    """Start-up and earlier documents are charged neither time nor memory of the next document."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=sys.path)], capture_output=True, text=True, check=True, timeout=30
    )
    seconds, refused = run.stdout.split()
    assert 8 <= int(seconds) <= 9
    assert refused == "refused"

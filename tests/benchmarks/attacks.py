"""What stops each hostile document from the model that obeys it.

    python tests/benchmarks/attacks.py

Sends all attacks of the test suite through the pipeline and prints a table: what the document tries, how its job ends,
whether a forged value is in its result, and which guard stopped it.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parent.parent))

from attack_harness import fight
from attacks import all_attacks


def main() -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    attacks = all_attacks()
    with tempfile.TemporaryDirectory() as place:
        battle = fight(Path(place), attacks)
    print(f"{'attack':40}{'lang':6}{'state':8}{'forged':8}stopped by")
    for attack in attacks:
        outcome = battle.outcomes[attack.name]
        forged = "yes" if outcome.forged else "no"
        print(f"{attack.kind:40}{attack.language:6}{outcome.result['status']:8}{forged:8}{outcome.stopped_by}")
    done = sum(bool(one.forged) and one.result["status"] == "done" for one in battle.outcomes.values())
    same = "unchanged" if battle.victim_after == battle.victim_before else "CHANGED"
    print(f"{len(attacks)} attacks, {done} forgeries done, the other record {same}")


if __name__ == "__main__":
    main()

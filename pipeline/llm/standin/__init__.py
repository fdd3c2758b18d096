"""A stand-in for LM Studio: its wire over real HTTP on the loopback address, with answers by rules.

For tests, for `pipeline demo` and for machines without a model. The rest of the package must not know it: whatever
works with the stand-in works the same way with LM Studio.
"""

from pipeline.llm.standin.faults import CallKind, Fault, FaultPlan, FaultRule
from pipeline.llm.standin.server import StandInServer
from pipeline.llm.standin.settings import StandInSettings

__all__ = ["CallKind", "Fault", "FaultPlan", "FaultRule", "StandInServer", "StandInSettings"]

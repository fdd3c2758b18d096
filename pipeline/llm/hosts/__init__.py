"""A model server as a host: how it is set, what is known of it, whether it is there, and the calls to it."""

from pipeline.llm.hosts.hosted import HostedModel, host_from, look_at, refuse_after_losses
from pipeline.llm.hosts.settings import HostSettings
from pipeline.llm.hosts.state import HostState, HostStatus, Observer

__all__ = [
    "HostSettings",
    "HostState",
    "HostStatus",
    "HostedModel",
    "Observer",
    "host_from",
    "look_at",
    "refuse_after_losses",
]

"""The exchange of updates between workers that cannot talk to each other."""

from comm.exchange import (
    InFlightExchange,
    OrchestratedExchange,
    SharedModelExchange,
    SharedState,
    Workers,
)
from comm.in_flight import InFlight, in_flight_chunks
from comm.orchestrated import Orchestrated
from comm.shared_model import SharedModel, require_shareable
from comm.wire import Compression, Message

__all__ = [
    "Compression",
    "InFlight",
    "InFlightExchange",
    "Message",
    "Orchestrated",
    "OrchestratedExchange",
    "SharedModel",
    "SharedModelExchange",
    "SharedState",
    "Workers",
    "in_flight_chunks",
    "require_shareable",
]

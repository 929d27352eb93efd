"""The exchange of updates between workers that cannot talk to each other."""

from comm.chunking import chunking_of
from comm.exchange import (
    InFlightExchange,
    OrchestratedExchange,
    SharedModelExchange,
    SharedState,
    Workers,
)
from comm.in_flight import InFlight
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
    "chunking_of",
    "require_shareable",
]

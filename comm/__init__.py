"""How workers that cannot talk to each other exchange updates: contribute, merge, collect."""

from comm.exchange import Group
from comm.in_flight import InFlight, in_flight_chunks
from comm.orchestrated import Orchestrated
from comm.wire import Compression, Message

__all__ = ["Compression", "Group", "InFlight", "Message", "Orchestrated", "in_flight_chunks"]

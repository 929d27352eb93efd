"""How workers that cannot talk to each other exchange updates: contribute, merge, collect."""

from comm.exchange import Exchange, Group, OrchestratedReduce

__all__ = ["Exchange", "Group", "OrchestratedReduce"]

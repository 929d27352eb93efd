"""Graphs of state machines: their states, where each is drawn, and what became of it."""

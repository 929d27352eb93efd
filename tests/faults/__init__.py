"""Faults at chosen positions in whole executions: their places and their effects."""

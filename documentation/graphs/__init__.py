"""Pictures of the state machines, drawn from their definitions."""

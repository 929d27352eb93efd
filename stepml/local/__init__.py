"""The local AWS: moto's services, an engine for state machines and processes of functions."""

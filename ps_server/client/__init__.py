"""Exchanges and jobs of the functions that use a parameter server."""

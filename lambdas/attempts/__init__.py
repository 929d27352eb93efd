"""Attempts at epochs: whether they may still work, why they fail, what they cost."""

"""Attempts at epochs: fences, waits, failures and costs."""

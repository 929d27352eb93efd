"""The calls, refusals, addresses and certificates of both ends."""

"""What both ends agree on: calls, refusals, addresses and certificates."""

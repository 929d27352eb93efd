"""The servers that stacks make on this machine: caches of ElastiCache, and a VM's parameter server.

They are the real programs, encrypted and with the users and secrets of the templates. The registry
(`servers`) starts and ends them; `caches` and `virtual_machine` are the programs; `elasticache`
holds the users of caches.
"""

from __future__ import annotations

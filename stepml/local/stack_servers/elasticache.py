"""ElastiCache as stacks use it: users, groups of users, and servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stepml.local.stack_servers.caches import EncryptedRedis, RedisUser, memcached
from stepml.local.stack_servers.servers import StackServers


@dataclass(slots=True)
class _Redis:
    program: EncryptedRedis
    port: int
    groups: tuple[str, ...]  # of its users


@dataclass(slots=True)
class ElastiCache:
    """The caches of a local AWS."""

    servers: StackServers
    _users: dict[str, RedisUser] = field(default_factory=dict)  # by their ids
    _groups: dict[str, tuple[str, ...]] = field(default_factory=dict)  # ids of users
    _redis: dict[str, _Redis] = field(default_factory=dict)  # by the server's name

    def put_user(self, user_id: str, user: RedisUser) -> None:
        """Make or change a user; servers let in the new one at once."""
        self._users[user_id] = user
        self._reload()

    def delete_user(self, user_id: str) -> None:
        self._users.pop(user_id, None)
        self._reload()

    def put_group(self, group_id: str, user_ids: Sequence[str]) -> None:
        """Make or change a group of users."""
        self._groups[group_id] = tuple(user_ids)
        self._reload()

    def delete_group(self, group_id: str) -> None:
        self._groups.pop(group_id, None)
        self._reload()

    def start_redis(self, name: str, groups: Sequence[str], before: int | None = None) -> int:
        """Start a Redis server for the users of ``groups``; return its port.

        It is the port ``before``, if that is given and free.

        Raises
        ------
        CacheError
            It cannot be started.
        """
        acl = self.servers.directory(name) / "users.acl"
        program = EncryptedRedis(self.servers.encryption, acl)
        program.set_users(self._members(groups))
        port = self.servers.add(name, program, before=before)
        self._start(name)
        self._redis[name] = _Redis(program, port, tuple(groups))
        return port

    def start_memcached(self, name: str, before: int | None = None) -> int:
        """Start a Memcached server; return its port.

        It is the port ``before``, if that is given and free.

        Raises
        ------
        CacheError
            It cannot be started.
        """
        port = self.servers.add(name, memcached(self.servers.encryption), before=before)
        self._start(name)
        return port

    def stop(self, name: str) -> None:
        """End a server."""
        self._redis.pop(name, None)
        self.servers.remove(name)

    def _start(self, name: str) -> None:
        try:
            self.servers.start(name)
        except Exception:
            self.servers.remove(name)
            raise

    def _members(self, groups: Sequence[str]) -> list[RedisUser]:
        ids = [user_id for group in groups for user_id in self._groups.get(group, ())]
        return [self._users[each] for each in ids if each in self._users]

    def _reload(self) -> None:
        for redis in self._redis.values():
            redis.program.set_users(self._members(redis.groups))
            redis.program.reload(redis.port)

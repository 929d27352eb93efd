"""Redis and Memcached as ElastiCache runs them: encrypted, and Redis with users."""

from __future__ import annotations

import hashlib
import secrets
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stepml.local.channel_programs import MEMCACHED, REDIS, CacheProgram, pid_answered
from stepml.local.stack_servers.encryption import Encryption
from stepml.local_identity import HOST

_ADMIN = "local-aws"  # a user of this process alone


@dataclass(frozen=True, slots=True)
class RedisUser:
    """A user of ElastiCache."""

    name: str
    access: str  # an ACL: ``on ~jobs/* +@read``
    passwords: tuple[str, ...]

    @property
    def rule(self) -> str:
        """The line of an ACL file; it has digests of the passwords."""
        digests = (hashlib.sha256(each.encode()).hexdigest() for each in self.passwords)
        return f"user {self.name} reset {self.access} {' '.join(f'#{each}' for each in digests)}"


class Encrypted:
    """A cache behind TLS; a `LocalProgram`."""

    def __init__(self, program: CacheProgram, encryption: Encryption) -> None:
        self._plain = program
        self._encryption = encryption

    @property
    def channel(self) -> str:
        return self._plain.channel

    @property
    def program(self) -> str:
        return self._plain.program

    def url(self, port: int) -> str:
        """Return the address of the server on ``port``."""
        return f"{self._plain.scheme}s://{HOST}:{port}"

    def parameters(self, port: int) -> dict[str, str]:
        """Return no parameters: the stack has outputs."""
        return {}

    def command(self, port: int, directory: Path) -> list[str]:
        """Return the executable and its arguments; for errors, see `CacheProgram`."""
        files = self._encryption
        flags = f"ssl_chain_cert={files.certificate},ssl_key={files.key},no_lru_crawler"
        return [*self._plain.command(port, directory), "-Z", "-o", flags]

    def environment(self) -> dict[str, str]:
        return self._plain.environment()

    def answering_pid(self, port: int) -> int | None:
        return self._pid(port, self._plain.question)

    def close(self) -> None:
        """Do nothing: it has no second port."""

    def _pid(self, port: int, question: bytes) -> int | None:
        context = ssl.create_default_context(cafile=str(self._encryption.certificate))
        return pid_answered(port, question, self._plain.answer, context)


def memcached(encryption: Encryption) -> Encrypted:
    """Return Memcached without the commands that ElastiCache's lacks."""
    return Encrypted(MEMCACHED, encryption)


class EncryptedRedis(Encrypted):
    """Redis behind TLS, with users.

    Parameters
    ----------
    encryption : Encryption
    acl : Path
        The file for its users.
    """

    def __init__(self, encryption: Encryption, acl: Path) -> None:
        super().__init__(REDIS, encryption)
        self._acl = acl
        self._password = secrets.token_urlsafe(32)
        acl.touch(mode=0o600)

    def set_users(self, users: Iterable[RedisUser]) -> None:
        """Replace its users; a running server reads them when `reload` is called."""
        admin = RedisUser(_ADMIN, "on ~* &* +@all", (self._password,))
        lines = ["user default reset off", *(each.rule for each in (admin, *users)), ""]
        self._acl.write_text("\n".join(lines))

    def reload(self, port: int) -> None:
        """Make the server on ``port``, if it runs, read its users anew."""
        self._pid(port, self._question(b"ACL LOAD\r\n"))

    def command(self, port: int, directory: Path) -> list[str]:
        files = self._encryption
        path, *_ = self._plain.command(port, directory)
        return [
            *(path, "--port", "0", "--tls-port", str(port), "--bind", HOST),
            *("--dir", str(directory), "--aclfile", str(self._acl)),
            *("--tls-cert-file", str(files.certificate), "--tls-key-file", str(files.key)),
            *("--tls-ca-cert-file", str(files.certificate), "--tls-auth-clients", "no"),
            *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
        ]

    def answering_pid(self, port: int) -> int | None:
        return self._pid(port, self._question(b""))

    def _question(self, command: bytes) -> bytes:
        login = f"AUTH {_ADMIN} {self._password}\r\n".encode()
        return login + command + self._plain.question

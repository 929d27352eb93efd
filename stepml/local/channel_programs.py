"""The programs that serve channels on this machine, each described once.

`PROGRAMS` holds those that need nothing but a port and a directory. The parameter server has
secrets and a second port, and a class in `stepml.local.parameter_server`.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stepml.job.channels import CHANNELS
from stepml.local_identity import HOST

ANSWER_TIMEOUT_S = 1.0
MEMCACHED_MB = 1024
_LONGEST_ANSWER = 65536  # bytes


class CacheError(Exception):
    """The server of a job's channel cannot be used; the message names the field and the reason."""


class LocalProgram(Protocol):
    """A program that serves a channel."""

    @property
    def channel(self) -> str: ...
    @property
    def program(self) -> str: ...
    def url(self, port: int) -> str: ...
    def parameters(self, port: int) -> dict[str, str]: ...
    def command(self, port: int, directory: Path) -> list[str]: ...
    def environment(self) -> dict[str, str]: ...
    def answering_pid(self, port: int) -> int | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CacheProgram:
    """A cache such as Redis, which needs a port and a directory."""

    channel: str  # its name in `CHANNELS`
    program: str  # the executable, and its Debian package
    scheme: str  # of its URL
    arguments: Callable[[int, Path], list[str]]  # from the port and the directory
    question: bytes  # a request for the server's process id
    answer: re.Pattern[bytes]  # finds the process id in the answer
    count_question: bytes  # a request for what the server has
    count_answer: re.Pattern[bytes]  # finds the groups `items` and `bytes` in the answer
    bytes_metric: str  # the name of the bytes in CloudWatch

    def url(self, port: int) -> str:
        """Return the address for functions of the server on ``port``."""
        return f"{self.scheme}://{HOST}:{port}"

    def parameters(self, port: int) -> dict[str, str]:
        """Return the template parameters with the server's address."""
        return {str(CHANNELS[self.channel].parameter): self.url(port)}

    def command(self, port: int, directory: Path) -> list[str]:
        """Return the executable and its arguments.

        Raises
        ------
        CacheError
            It is not installed.
        """
        path = shutil.which(self.program)
        if path is None:
            raise CacheError(
                f"exchange.channel {self.channel!r} needs the program {self.program}, which is "
                f"not installed; on Debian: apt-get install {self.program}"
            )
        return [path, *self.arguments(port, directory)]

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the process."""
        return dict(os.environ)

    def answering_pid(self, port: int) -> int | None:
        """Return the process id of the server on ``port``, or None if it does not answer."""
        return pid_answered(port, self.question, self.answer)

    def close(self) -> None:
        """Do nothing: it has no second port."""

    def counts(self, port: int) -> dict[str, int]:
        """Return the figures of the server on ``port``; {} without an answer."""
        found = answer_of(port, self.count_question, self.count_answer)
        if found is None:
            return {}
        return {"CurrItems": int(found["items"]), self.bytes_metric: int(found["bytes"])}


def pid_answered(
    port: int, question: bytes, answer: re.Pattern[bytes], context: ssl.SSLContext | None = None
) -> int | None:
    """Ask the server on ``port`` for its process id, as `answer_of`."""
    found = answer_of(port, question, answer, context)
    return None if found is None else int(found[1])


def answer_of(
    port: int, question: bytes, answer: re.Pattern[bytes], context: ssl.SSLContext | None = None
) -> re.Match[bytes] | None:
    """Ask the server on ``port``; None if it does not answer.

    Parameters
    ----------
    port : int
    question : bytes
    answer : pattern
        Finds what was asked for.
    context : SSLContext, optional
        Of a server that encrypts.
    """
    received = b""
    with suppress(OSError), ExitStack() as opened:
        plain = socket.create_connection((HOST, port), ANSWER_TIMEOUT_S)
        connection = opened.enter_context(plain)
        if context is not None:
            wrapped = context.wrap_socket(connection, server_hostname=HOST)
            connection = opened.enter_context(wrapped)
        connection.sendall(question)
        while (found := answer.search(received)) is None:
            more = connection.recv(_LONGEST_ANSWER)
            received += more
            if not more or len(received) > _LONGEST_ANSWER:
                return None
        return found
    return None


def _redis_arguments(port: int, directory: Path) -> list[str]:
    return [
        *("--port", str(port), "--bind", HOST, "--dir", str(directory)),
        *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
    ]


def _memcached_arguments(port: int, directory: Path) -> list[str]:
    # Started by root, it demands a user. Another user than root would cancel the signal that ends
    # it with the local AWS.
    user = ["-u", pwd.getpwuid(0).pw_name] if os.geteuid() == 0 else []
    return ["-p", str(port), "-l", HOST, "-m", str(MEMCACHED_MB), *user]


REDIS = CacheProgram(
    channel="redis",
    program="redis-server",
    scheme="redis",
    arguments=_redis_arguments,
    question=b"INFO server\r\n",
    answer=re.compile(rb"process_id:(\d+)\r\n"),
    count_question=b"INFO memory\r\nDBSIZE\r\n",
    count_answer=re.compile(rb"\nused_memory:(?P<bytes>\d+)\r\n.*\n:(?P<items>\d+)\r\n", re.DOTALL),
    bytes_metric="BytesUsedForCache",
)
MEMCACHED = CacheProgram(
    channel="memcached",
    program="memcached",
    scheme="memcached",
    arguments=_memcached_arguments,
    question=b"stats\r\n",
    answer=re.compile(rb"STAT pid (\d+)\r\n"),
    count_question=b"stats\r\n",
    count_answer=re.compile(
        rb"STAT bytes (?P<bytes>\d+)\r\n.*?STAT curr_items (?P<items>\d+)\r\n", re.DOTALL
    ),
    bytes_metric="BytesUsedForCacheItems",
)
PROGRAMS = (REDIS, MEMCACHED)

"""What a parameter server is told: flags, or environment variables of the same names."""

from __future__ import annotations

import argparse
import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ps_server.protocol.addresses import is_loopback
from ps_server.protocol.calls import (
    DEFAULT_HEALTH_PORT,
    DEFAULT_PORT,
    LEAST_FRAME_BYTES,
    MOST_FRAME_BYTES,
)
from ps_server.protocol.certificates import server_context

ENVIRONMENT_PREFIX = "STEPML_PS_"
TOKEN_VARIABLE = f"{ENVIRONMENT_PREFIX}TOKEN"
_MEMORY_VARIABLE = f"{ENVIRONMENT_PREFIX}MEMORY_MB"
LEAST_TOKEN_CHARACTERS = 16
LOG_LEVELS = ("debug", "info", "warning", "error")
_SWITCHES = {
    "1": True,
    "true": True,
    "yes": True,
    "": False,
    "0": False,
    "false": False,
    "no": False,
}

Address = tuple[str, int]


class SettingsError(ValueError):
    """A setting is wrong; the message names the flag, what is allowed and what was given."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A parameter server's settings, checked."""

    listen: Address  # for Thrift
    grpc_listen: Address | None
    health_listen: Address | None
    token: str
    certificate: Path | None  # None: plain, on loopback addresses only
    key: Path | None
    client_ca: Path | None
    memory_bytes: int  # of all messages together
    frame_bytes: int | None  # None: what suits the transport
    max_connections: int
    expiry_s: float
    snapshots: str  # a directory or s3://bucket/prefix; empty: none
    snapshot_s: float
    drain_s: float
    log_level: str

    def __repr__(self) -> str:  # without the token
        return f"Settings(listen={self.listen}, …)"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = _Parser(
        prog="python -m ps_server",
        description="Serve models and sums to StepML's functions: the channel parameter_server.",
        epilog=f"Each flag has an environment variable: --memory-mb is {_MEMORY_VARIABLE}. The "
        f"token has {LEAST_TOKEN_CHARACTERS} characters or more, in a file or in {TOKEN_VARIABLE}.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,  # a flag that is added must not change what a short one means
    )
    add = made.add_argument
    add("--listen", default=f"0.0.0.0:{DEFAULT_PORT}", metavar="HOST:PORT", help="for Thrift")
    add("--grpc-listen", default="", metavar="HOST:PORT", help="for gRPC; empty: no gRPC")
    add(
        "--health-listen",
        default=f"127.0.0.1:{DEFAULT_HEALTH_PORT}",
        metavar="HOST:PORT",
        help="for /healthz and /metrics over plain HTTP; empty: neither",
    )
    add("--token-file", default="", metavar="FILE", help="holds the token that clients show")
    add("--certificate", default="", metavar="FILE", help="of the server, PEM")
    add("--key", default="", metavar="FILE", help="of the certificate, PEM")
    add("--client-ca", default="", metavar="FILE", help="clients have to have a certificate of it")
    add(
        "--plain-loopback",
        action="store_true",
        help="nothing is encrypted, and nobody but this machine can connect",
    )
    add("--memory-mb", default="", metavar="MB", help="for messages; empty: half of the machine's")
    add("--frame-bytes", default="", metavar="BYTES", help="of a piece of a message")
    add("--max-connections", default="1024", metavar="N")
    add("--expiry-hours", default="24", metavar="HOURS", help="until an unused job is deleted")
    add(
        "--snapshots",
        default="",
        metavar="PLACE",
        help="a directory or s3://bucket/prefix where to save what there is; empty: nowhere",
    )
    add("--snapshot-seconds", default="30", metavar="S", help="between snapshots")
    add("--drain-seconds", default="20", metavar="S", help="for calls under way, when it stops")
    add("--log-level", default="info", metavar="LEVEL", help=", ".join(LOG_LEVELS))
    add(
        "--health",
        action="store_true",
        help="ask the server that runs with these settings how it is, and exit with 0 or 1",
    )
    return made


def read_options(
    arguments: Sequence[str] | None, environment: Mapping[str, str] = os.environ
) -> argparse.Namespace:
    """Return the options of a command line, with what it leaves out from the environment.

    Raises
    ------
    SettingsError
        There is no such flag, or it has no value.
    """
    made = parser()
    for action in made._actions:
        name = ENVIRONMENT_PREFIX + action.dest.upper()
        if action.dest in ("help", "health") or name not in environment:
            continue
        text = environment[name]
        is_switch = isinstance(action.const, bool)
        made.set_defaults(**{action.dest: _switch(name, text) if is_switch else text})
    return made.parse_args(arguments)


def settings_of(
    options: argparse.Namespace, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings that options say.

    Raises
    ------
    SettingsError
        For the first of them that is wrong.
    """
    listen = _address("--listen", options.listen)
    grpc_listen = _address("--grpc-listen", options.grpc_listen) if options.grpc_listen else None
    health = _address("--health-listen", options.health_listen) if options.health_listen else None
    certificate, key = _file("--certificate", options.certificate), _file("--key", options.key)
    client_ca = _file("--client-ca", options.client_ca)
    _check_encryption(options, [each for each in (listen, grpc_listen) if each])
    if certificate is not None and key is not None:
        _check_certificate(certificate, key, client_ca)
    if options.log_level not in LOG_LEVELS:
        _refuse("--log-level", f"one of {', '.join(LOG_LEVELS)}", options.log_level)
    if options.snapshots.startswith("s3://") and not re.match(
        r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$", options.snapshots
    ):
        _refuse("--snapshots", "a directory or s3://bucket/prefix", options.snapshots)
    return Settings(
        listen=listen,
        grpc_listen=grpc_listen,
        health_listen=health,
        token=_token(options, environment),
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        memory_bytes=_memory_bytes(options.memory_mb),
        frame_bytes=int(
            _number("--frame-bytes", options.frame_bytes, LEAST_FRAME_BYTES, MOST_FRAME_BYTES)
        )
        if options.frame_bytes
        else None,
        max_connections=int(_number("--max-connections", options.max_connections, 1, 100_000)),
        expiry_s=3600 * _number("--expiry-hours", options.expiry_hours, 0.001, 10_000),
        snapshots=options.snapshots,
        snapshot_s=_number("--snapshot-seconds", options.snapshot_seconds, 0.1, 86_400),
        drain_s=_number("--drain-seconds", options.drain_seconds, 0, 3600),
        log_level=options.log_level,
    )


def _check_encryption(options: argparse.Namespace, addresses: Sequence[Address]) -> None:
    given = [name for name in ("certificate", "key", "client_ca") if getattr(options, name)]
    if not options.plain_loopback:
        if not (options.certificate and options.key):
            files = [name for name in ("certificate", "key") if name in given]
            got = f"--{files[0]} alone" if files else "none"
            raise SettingsError(
                f"--certificate and --key: expected PEM files, got {got}; without them "
                "--plain-loopback serves this machine alone"
            )
        return
    if given:
        flag = "--" + given[0].replace("_", "-")
        raise SettingsError(f"{flag}: goes without --plain-loopback, which encrypts nothing")
    for host, port in addresses:
        if not is_loopback(host):
            raise SettingsError(
                f"--plain-loopback: expected loopback addresses such as 127.0.0.1:{port}, "
                f"got {host}:{port}"
            )


def _check_certificate(certificate: Path, key: Path, client_ca: Path | None) -> None:
    flags = "--certificate, --key"
    given = f"{str(certificate)!r}, {str(key)!r}"
    try:
        server_context(certificate, key)
        flags, given = "--client-ca", repr(str(client_ca))
        server_context(certificate, key, client_ca)
    except (ssl.SSLError, OSError) as error:
        expected = "certificates" if flags == "--client-ca" else "a certificate and its key"
        raise SettingsError(
            f"{flags}: expected {expected} in PEM format, without a passphrase, got {given}: "
            f"{error}"
        ) from None


def _token(options: argparse.Namespace, environment: Mapping[str, str]) -> str:
    token = environment.get(TOKEN_VARIABLE, "")
    where = TOKEN_VARIABLE
    if options.token_file:
        path = _file("--token-file", options.token_file)
        assert path is not None
        where = "--token-file"
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{where}: expected a text file, got {path}: {error}") from None
    if not (token.isascii() and token.isprintable()):  # gRPC's metadata takes no others
        raise SettingsError(f"{where}: expected a token of printable ASCII characters")
    if len(token) < LEAST_TOKEN_CHARACTERS:
        raise SettingsError(
            f"{where}: expected a token of {LEAST_TOKEN_CHARACTERS} characters or more, "
            f"got {len(token)}" + ("" if options.token_file else "; or a --token-file")
        )
    return token


def _memory_bytes(text: str) -> int:
    if text:
        return int(_number("--memory-mb", text, 1, 2**30) * 2**20)
    return machine_bytes() // 2


def machine_bytes(root: Path = Path("/")) -> int:
    """Return the memory of the machine, or of the service or container if that has less.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _limit_files(root):
        text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        if text.isdecimal():  # not "max"
            sizes.append(int(text))
    return min(sizes)


def _limit_files(root: Path) -> Iterator[Path]:
    """Yield where limits of this process's group may stand, and of those that it is in."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else []:
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory"):  # "": version 2, which has one tree for all
            continue
        base = root / "sys/fs/cgroup" / controllers
        file_name = "memory.limit_in_bytes" if controllers else "memory.max"
        inner = base / name.strip("/")
        for directory in (inner, *inner.parents):
            yield directory / file_name
            if directory == base:
                break


def _address(flag: str, text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not (colon and host and port.isascii() and port.isdecimal()) or int(port) > 65535:
        _refuse(flag, "HOST:PORT", text)
    return host, int(port)


def _file(flag: str, text: str) -> Path | None:
    if not text:
        return None
    path = Path(text)
    if not (path.is_file() and os.access(path, os.R_OK)):
        _refuse(flag, "a file that can be read", text)
    return path


def _number(flag: str, text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        _refuse(flag, f"a number from {_plain(least)} to {_plain(most)}", text)
    return number


def _plain(number: float) -> str:
    return f"{number:.0f}" if number == int(number) else f"{number:g}"


def _switch(name: str, text: str) -> bool:
    value = _SWITCHES.get(text.lower())
    if value is None:
        _refuse(name, "true or false", text)
    return value


def _refuse(flag: str, expected: str, given: str) -> NoReturn:
    raise SettingsError(f"{flag}: expected {expected}, got {given!r}")

"""The settings of a parameter server: flags, or environment variables of the same names."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import typer
from typer.exceptions import TyperException

from ps_server.protocol.addresses import is_loopback, server_context
from ps_server.protocol.calls import (
    DEFAULT_HEALTH_PORT,
    DEFAULT_PORT,
    LEAST_FRAME_BYTES,
    MOST_FRAME_BYTES,
)

ENVIRONMENT_PREFIX = "STEPML_PS_"
TOKEN_VARIABLE = f"{ENVIRONMENT_PREFIX}TOKEN"
LEAST_TOKEN_CHARACTERS = 16

Parser = Callable[[str], Any]


class Address(NamedTuple):
    """The host and the port on which something listens."""

    host: str
    port: int


class SettingsError(ValueError):
    """A setting is wrong; the message names the flag, what is allowed and what was given."""


def _require(holds: bool, expected: str, given: str) -> None:
    if not holds:
        raise typer.BadParameter(f"expected {expected}, got {given!r}")


def _optional(parse: Parser) -> Parser:
    return lambda text: parse(text) if text else None


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    is_number = port.isascii() and port.isdecimal()
    _require(bool(colon and host and is_number) and int(port) <= 65535, "HOST:PORT", text)
    return Address(host, int(port))


def _file(text: str) -> Path:
    path = Path(text)
    _require(path.is_file() and os.access(path, os.R_OK), "a file that can be read", text)
    return path


def _text(pattern: str, expected: str) -> Parser:
    def parse(text: str) -> str:
        _require(re.fullmatch(pattern, text) is not None, expected, text)
        return text

    return parse


def _number(least: float, most: float, scale: float = 1) -> Parser:
    """Return a parser of numbers from ``least`` to ``most``; it multiplies them by ``scale``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        _require(least <= value <= most, f"a number from {least:.12g} to {most:.12g}", text)
        return value * scale

    return parse


def _whole(least: float, most: float, scale: float = 1) -> Parser:
    number = _number(least, most, scale)
    return lambda text: int(number(text))


_LEVELS = ("debug", "info", "warning", "error")
_LEVEL = _text("|".join(_LEVELS), f"one of {', '.join(_LEVELS)}")
_BUCKET = "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_PLACE = _text(rf"(?!s3://).*|s3://{_BUCKET}(/.*)?", "a directory or s3://bucket/prefix")
_FRAME_BYTES = _whole(LEAST_FRAME_BYTES, MOST_FRAME_BYTES)
_MEMORY_BYTES = _whole(1, 2**30, 2**20)
_HEALTH = f"127.0.0.1:{DEFAULT_HEALTH_PORT}"


def variable_of(flag: str) -> str:
    """Return the environment variable of a flag."""
    return ENVIRONMENT_PREFIX + flag.removeprefix("--").upper().replace("-", "_")


def _flag(name: str, parse: Parser, default: str, text: str) -> Any:
    parse = parse if default else _optional(parse)
    return typer.Option(default, name, parser=parse, envvar=variable_of(name), help=text)


@dataclass(frozen=True, slots=True)
class Settings:
    """Serve models and sums to StepML's functions: the channel parameter_server."""

    listen: Address = _flag("--listen", _address, f"0.0.0.0:{DEFAULT_PORT}", "For Thrift.")
    grpc_listen: Address | None = _flag("--grpc-listen", _address, "", "For gRPC.")
    health_listen: Address | None = _flag(
        "--health-listen", _optional(_address), _HEALTH, "For /healthz and /metrics over HTTP."
    )
    token_file: Path | None = _flag(
        "--token-file", _file, "", f"With the token; or {TOKEN_VARIABLE}."
    )
    certificate: Path | None = _flag("--certificate", _file, "", "Of the server, PEM.")
    key: Path | None = _flag("--key", _file, "", "Of the certificate, PEM.")
    client_ca: Path | None = _flag(
        "--client-ca", _file, "", "Clients need a certificate signed by it."
    )
    plain_loopback: bool = typer.Option(
        *(False, "--plain-loopback"),
        envvar=variable_of("--plain-loopback"),
        help="No encryption; for this machine only.",
    )
    memory_bytes: int | None = _flag(
        "--memory-mb", _MEMORY_BYTES, "", "For messages; else half of the machine's."
    )
    frame_bytes: int | None = _flag("--frame-bytes", _FRAME_BYTES, "", "Of a piece of a message.")
    max_connections: int = _flag("--max-connections", _whole(1, 1e5), "1024", "More are refused.")
    expiry_s: float = _flag(
        "--expiry-hours", _number(0.001, 10_000, 3600), "24", "Until an unused job is deleted."
    )
    snapshots: str | None = _flag("--snapshots", _PLACE, "", "A directory or s3://bucket/prefix.")
    snapshot_s: float = _flag("--snapshot-seconds", _number(0.1, 86_400), "30", "In between.")
    drain_s: float = _flag("--drain-seconds", _number(0, 3600), "20", "For calls, at a stop.")
    log_level: str = _flag("--log-level", _LEVEL, "info", f"One of {', '.join(_LEVELS)}.")
    health: bool = typer.Option(
        False, "--health", help="Ask the running server for its health; exit with 0 or 1."
    )

    def __post_init__(self) -> None:
        if self.health:
            if self.health_listen is None:
                raise SettingsError("--health-listen: expected HOST:PORT, got ''")
            return
        flags = ("--certificate", "--key", "--client-ca")
        given = [flag for flag in flags if getattr(self, flag[2:].replace("-", "_"))]
        if self.plain_loopback:
            self._require_loopback(given)
        elif self.certificate is None or self.key is None:
            raise SettingsError(
                f"--certificate and --key: expected PEM files, got "
                f"{f'{given[0]} alone' if given else 'none'}; without them --plain-loopback "
                "serves this machine alone"
            )
        else:
            _require_certificate(self.certificate, self.key, self.client_ca)
        _require_token(self.token, "--token-file" if self.token_file else TOKEN_VARIABLE)

    @property
    def token(self) -> str:
        """The token that clients show."""
        if self.token_file is None:
            return os.environ.get(TOKEN_VARIABLE, "")
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            text = f"--token-file: expected a text file, got {self.token_file}: {error}"
            raise SettingsError(text) from None

    @property
    def limit_bytes(self) -> int:
        """Most memory of all messages together."""
        return self.memory_bytes or machine_bytes() // 2

    def _require_loopback(self, files: Sequence[str]) -> None:
        if files:
            text = f"{files[0]}: goes without --plain-loopback, which encrypts nothing"
            raise SettingsError(text)
        for host, port in filter(None, (self.listen, self.grpc_listen)):
            if not is_loopback(host):
                raise SettingsError(
                    f"--plain-loopback: expected loopback addresses such as 127.0.0.1:{port}, "
                    f"got {host}:{port}"
                )


def command() -> Any:
    """Return the command line of the program."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(Settings)
    return typer.main.get_command(app)


def read_settings(arguments: Sequence[str]) -> Settings:
    """Parse a command line, and the environment for the flags that it leaves out.

    Raises
    ------
    SettingsError
        For the first setting that is wrong.
    """
    variable = variable_of("--health-listen")
    emptied = ["--health-listen="] if os.environ.get(variable) == "" else []
    try:
        settings = command().main(
            [*emptied, *arguments], prog_name="python -m ps_server", standalone_mode=False
        )
    except TyperException as error:
        flag = getattr(error, "param", None)
        text = error.format_message()
        raise SettingsError(f"{flag.opts[0]}: {error.message}" if flag else text) from None
    if not isinstance(settings, Settings):
        raise SystemExit(settings)  # after --help
    return settings


def _require_certificate(certificate: Path, key: Path, client_ca: Path | None) -> None:
    flags, expected = "--certificate, --key", "a certificate and its key"
    given = f"{str(certificate)!r}, {str(key)!r}"
    try:
        server_context(certificate, key)
        flags, expected, given = "--client-ca", "certificates", repr(str(client_ca))
        server_context(certificate, key, client_ca)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"{flags}: expected {expected} in PEM format, without a passphrase, got {given}: "
            f"{error}"
        ) from None


def _require_token(token: str, where: str) -> None:
    if not (token.isascii() and token.isprintable()):  # gRPC's metadata takes no others
        raise SettingsError(f"{where}: expected a token of printable ASCII characters")
    if len(token) < LEAST_TOKEN_CHARACTERS:
        raise SettingsError(
            f"{where}: expected a token of {LEAST_TOKEN_CHARACTERS} characters or more, got "
            f"{len(token)}" + ("; or a --token-file" if where == TOKEN_VARIABLE else "")
        )


def machine_bytes(root: Path = Path("/")) -> int:
    """Return the memory of the machine, or of its service or container if that has less.

    ``root`` is the parent of ``proc`` and ``sys``.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = (path.read_text().strip() for path in _limit_files(root) if path.is_file())
    return min([machine, *(int(text) for text in texts if text.isdecimal())])  # not "max"


def _limit_files(root: Path) -> Iterator[Path]:
    """Yield the files that may limit this process's group, and the groups around it."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else []:
        _, controllers, name = line.split(":", 2)
        if controllers in ("", "memory"):  # "": version 2, which has one tree for all
            base = root / "sys/fs/cgroup" / controllers
            inner = base / name.strip("/")
            for directory in (inner, *inner.parents):
                if directory.is_relative_to(base):
                    yield directory / ("memory.limit_in_bytes" if controllers else "memory.max")

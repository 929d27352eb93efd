"""The access to the console: names of its host, the cookie of its pages, perhaps a token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

TOKEN_SETTING = "token"  # noqa: S105 — its name in addresses
LOOPBACK_NAME, LOOPBACK_ADDRESS = "localhost", "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach a host."""
    address = _address(host)
    return host == LOOPBACK_NAME if address is None else address.is_loopback


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Access:
    """The facts that a request needs.

    Attributes
    ----------
    host : str
        The host at which the console listens, as it was given.
    port : int
        The port, which tells the cookies of two consoles apart.
    session : str
        A secret of this process: pages put it into a cookie, and all other requests need it.
    token : str or None
        A secret that the first page's address needs; None on loopback.
    """

    host: str
    port: int
    session: str = field(default_factory=_new_secret, repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, host: str, port: int) -> Access:
        """Return the access to a console at a host: other machines need a token."""
        return cls(host, port, token=None if is_loopback(host) else _new_secret())

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"stepml_console_{self.port}"

    @property
    def cookie_header(self) -> str:
        """The header that sets it."""
        return f"{self.cookie}={self.session}; Path=/; HttpOnly; SameSite=Strict"

    @property
    def address(self) -> str:
        """The address that a person opens first, on this machine."""
        return self._address_at(LOOPBACK_ADDRESS if _is_everywhere(self.host) else self.host)

    @property
    def address_elsewhere(self) -> str | None:
        """The address for other machines, if it is another one."""
        return self._address_at(socket.gethostname()) if _is_everywhere(self.host) else None

    def _address_at(self, host: str) -> str:
        shown = f"[{host}]" if ":" in host else host
        token = f"?{TOKEN_SETTING}={self.token}" if self.token else ""
        return f"http://{shown}:{self.port}/{token}"

    def is_own_name(self, host_header: str) -> bool:
        """Return whether a request names the console's host.

        A page of another host whose name has been made to point here names that host. Addresses
        are no names, and a tunnel to the console has another port.
        """
        name = _host_of(f"//{host_header}")
        if name is None:
            return False
        if name in (LOOPBACK_NAME, self.host.lower()) or is_loopback(name):
            return True
        if not _is_everywhere(self.host):
            return False
        return _address(name) is not None or name in _own_names()

    def is_own_origin(self, origin: str, host_header: str) -> bool:
        """Return whether a page of the console sends the request."""
        return origin in (f"http://{host_header}", f"https://{host_header}")

    def knows_session(self, cookie_header: str) -> bool:
        """Return whether the browser has the cookie."""
        try:
            found = SimpleCookie(cookie_header).get(self.cookie)
        except CookieError:
            return False
        return found is not None and _is_same(found.value, self.session)

    def knows_token(self, query: str) -> bool:
        """Return whether an address has the token, or none is needed."""
        given = parse_qs(query).get(TOKEN_SETTING, [""])[-1]
        return self.token is None or _is_same(given, self.token)


def _is_same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_everywhere(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_unspecified


def _own_names() -> Mapping[str, None]:
    return dict.fromkeys(name.lower() for name in (socket.gethostname(), socket.getfqdn()))

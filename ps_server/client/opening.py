"""Open a client of a parameter server."""

from __future__ import annotations

from ps_server.protocol.addresses import CA_VARIABLE, Address, Credentials
from ps_server.protocol.clients import ParameterClient


def open_client(url: str, credentials: Credentials, *, timeout_s: float = 30.0) -> ParameterClient:
    """Return a client of the parameter server at ``url``; it connects when it is first used.

    Parameters
    ----------
    url : str
        ``thrift[s]://host:port`` or ``grpc[s]://host:port``.
    credentials : Credentials
    timeout_s : float
        Longest time without an answer, beside the wait of a pull.

    Raises
    ------
    ValueError
        ``url`` is no address, or the trusted certificate is none.
    """
    address = Address.parse(url)
    if credentials.ca and "-----BEGIN CERTIFICATE-----" not in credentials.ca:
        raise ValueError(
            f"{CA_VARIABLE}: expected a certificate as text (PEM), got {credentials.ca[:40]!r}"
        )
    if address.transport == "grpc":
        from ps_server.over_grpc.client import GrpcClient

        return GrpcClient(address, credentials, timeout_s)
    from ps_server.over_thrift.client import ThriftClient

    return ThriftClient(address, credentials, timeout_s)

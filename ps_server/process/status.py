"""Print the statistics of a running server as JSON: ``python -m ps_server.process.status URL``.

Token and certificates come from the functions' environment variables, listed in
`ps_server.protocol.addresses`.
"""

from __future__ import annotations

import json
import ssl
import sys
from dataclasses import asdict

from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import CA_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE, Credentials
from ps_server.protocol.refusals import Refusal

_TIMEOUT_S = 10.0
_BAD_INPUT = 2
_NO_ANSWER = 3


def main(arguments: list[str]) -> int:
    """Print statistics, or one line about what is wrong."""
    if len(arguments) != 1:
        print(f"expected one address, such as ${URL_VARIABLE}", file=sys.stderr)
        return _BAD_INPUT
    try:
        credentials = Credentials.of_environment()
        client = ParameterClient(arguments[0], credentials, _TIMEOUT_S)
    except ValueError as error:
        print(error, file=sys.stderr)
        return _BAD_INPUT
    if not credentials.token:
        print(f"{TOKEN_VARIABLE}: expected the server's token, got none", file=sys.stderr)
        return _BAD_INPUT
    try:
        with client:
            print(json.dumps(asdict(client.statistics())))
    except (OSError, Refusal) as error:
        reason = str(error).removeprefix(f"{arguments[0]}: ")
        if isinstance(error, ssl.SSLCertVerificationError):
            reason += f"; {CA_VARIABLE} has to hold the server's certificate"
        print(f"{arguments[0]}: {reason}", file=sys.stderr)
        return _NO_ANSWER
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

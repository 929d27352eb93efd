"""Ask a running parameter server what it has: ``python -m ps_server.status URL`` prints JSON.

Token and certificates are those of the functions' environment variables (`ps_server.client`).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from ps_server.client import URL_VARIABLE, Credentials, open_client
from ps_server.refusals import Refusal

_TIMEOUT_S = 10.0
_BAD_INPUT = 2
_NO_ANSWER = 3


def main(arguments: list[str]) -> int:
    """Print statistics, or one line about what is wrong."""
    if len(arguments) != 1:
        print(f"expected one address, such as ${URL_VARIABLE}", file=sys.stderr)
        return _BAD_INPUT
    try:
        client = open_client(arguments[0], Credentials.of_environment(), timeout_s=_TIMEOUT_S)
    except (ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return _BAD_INPUT
    try:
        with client:
            print(json.dumps(asdict(client.statistics())))
    except (OSError, Refusal) as error:
        told = str(error).removeprefix(f"{arguments[0]}: ")
        print(f"{arguments[0]}: {told}", file=sys.stderr)
        return _NO_ANSWER
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

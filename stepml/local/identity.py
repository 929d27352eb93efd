"""Who and where the local AWS is; every client of it needs these."""

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
HOST = "127.0.0.1"  # nothing else is ever bound
DEFAULT_PORT = 4566  # LocalStack's, so that its tools find us
DEFAULT_CONCURRENCY = 1000  # an AWS account's, unless it has been raised
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105 — the local AWS checks no signatures
STATUS_PATH = "/_stepml/status"


def endpoint_url(port: int) -> str:
    """Return the endpoint of a local AWS that listens on ``port``."""
    return f"http://{HOST}:{port}"

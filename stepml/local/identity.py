"""Account, region, address and credentials of the local AWS."""

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
HOST = "127.0.0.1"  # the only address that servers bind
DEFAULT_PORT = 4566  # as LocalStack, for its tools
DEFAULT_CONCURRENCY = 1000  # as an AWS account's default
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105 — the local AWS checks no signatures
STATUS_PATH = "/_stepml/status"


def endpoint_url(port: int) -> str:
    """Return the endpoint of a local AWS that listens on ``port``."""
    return f"http://{HOST}:{port}"

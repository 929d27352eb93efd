"""moto in the test's process, behind the HTTP server of the local AWS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from stepml.local.http_server import bind
from stepml.local_identity import HOST


@contextmanager
def moto_server() -> Iterator[str]:
    """Serve on a free port until the block ends; yield the endpoint.

    moto's own server closes every connection, which doubles the cost of a request.
    """
    server = bind(0, DomainDispatcherApplication(create_backend_app))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

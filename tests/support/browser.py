"""Looks at pages of HTML in Chromium, which `.ci/install-caches` installs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import numpy.typing as npt

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)


@dataclass(frozen=True)
class Picture:
    """A page as a browser shows it."""

    pixels: npt.NDArray[np.uint8]  # of shape (height, width, 3)
    console: list[str]  # its messages: errors, and what the page's policy refused

    def columns(self, left: int, width: int) -> Picture:
        """Return a part of the picture, as high as the whole."""
        return Picture(self.pixels[:, left : left + width], self.console)

    def share_of(self, colour: str) -> float:
        """Return the share of the pixels that have a colour such as ``#2c9a57``."""
        wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
        return float((self.pixels == wanted).all(axis=2).mean())


def picture_of(page: Path, directory: Path, *, width: int = 1280, height: int = 3000) -> Picture:
    """Return a picture of a page; ``directory`` is for the files of the browser."""
    from matplotlib.image import imread

    image = directory / "page.png"
    address = f"--screenshot={image}", f"--window-size={width},{height}", page.as_uri()
    profile = f"--user-data-dir={directory / 'profile'}"
    ran = subprocess.run(
        ["chromium", *_OPTIONS, profile, *address],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        env={**os.environ, "HOME": str(directory)},
    )
    pixels = (imread(image)[:, :, :3] * 255).round().astype(np.uint8)
    return Picture(pixels, re.findall(r"CONSOLE.*", ran.stderr))


@contextmanager
def counted_requests() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server, and the paths that it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()

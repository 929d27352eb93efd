"""The names that a new job may use: the stack, its data and its code."""

from __future__ import annotations

from dataclasses import dataclass

from stepml.client.stack import Stack
from stepml.client.stored_folders import folder_page
from stepml.console.board import Board
from stepml.console.feeds import Feed
from stepml.job import keys
from stepml.job.places import DATA

PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Places:
    """The stack, and places in its bucket that a job may name."""

    stack: Stack
    data: tuple[str, ...]
    code: tuple[str, ...]


def places_feed(board: Board) -> Feed[Places]:
    """Return the feed of places for jobs."""
    return board.feed("places", lambda: _places(board), lambda _: PAUSE_S)


def _places(board: Board) -> Places:
    stack = board.client.stack
    return Places(stack, _directly_in(board, DATA), _directly_in(board, keys.CODE))


def _directly_in(board: Board, prefix: str) -> tuple[str, ...]:
    page = folder_page(board.client.connection, board.client.stack.bucket, prefix)
    return (*page.folders, *(each.place for each in page.objects))

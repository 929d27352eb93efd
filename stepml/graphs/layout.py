"""Places of the nodes of a directed graph in layers, after Sugiyama, and routes of its edges.

Edges that would lead upwards are turned for the layout. Edges over several layers pass through
points in each, so that they cross no node. Orders and places are improved by a few sweeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Edge = tuple[str, str]
Size = tuple[float, float]
Point = tuple[float, float]

SWEEPS = 12
GAP_X, GAP_Y = 28.0, 44.0
BEND = "bend of {}, {}"  # a point of an edge between its ends, in each layer that it crosses


@dataclass
class Layout:
    """Centres of nodes, routes of edges from source to target, and the size of all."""

    centres: dict[str, Point] = field(default_factory=dict)
    routes: list[list[Point]] = field(default_factory=list)
    width: float = 0
    height: float = 0


def place(sizes: Mapping[str, Size], edges: Sequence[Edge], start: str) -> Layout:
    """Return a layout of the nodes with these sizes, top to bottom from ``start``."""
    upward = _upward(edges, start)
    down = [(b, a) if (a, b) in upward else (a, b) for a, b in edges]
    layers = _layers(down, sizes)
    chains = [_chain(i, a, b, layers) for i, (a, b) in enumerate(down)]
    all_sizes = {**{each: (10.0, 0.0) for chain in chains for each in chain}, **sizes}
    steps = [step for chain in chains for step in pairwise(chain)]
    rows = _ordered(layers, steps)
    xs = _columns(rows, steps, all_sizes)
    return _finished(rows, xs, chains, [edge in upward for edge in edges], all_sizes)


def _upward(edges: Sequence[Edge], start: str) -> set[Edge]:
    """Return the edges that close a circle, seen from ``start``."""
    found: set[Edge] = set()
    done: set[str] = set()

    def visit(node: str, path: tuple[str, ...]) -> None:
        for edge in edges:
            if edge[0] == node and edge[1] in (*path, node):
                found.add(edge)
            elif edge[0] == node and edge[1] not in done:
                visit(edge[1], (*path, node))
        done.add(node)

    visit(start, ())
    return found


def _layers(edges: Sequence[Edge], nodes: Iterable[str]) -> dict[str, int]:
    """Return each node's layer: the longest way to it."""
    layers = dict.fromkeys(nodes, 0)
    for _ in layers:
        for source, target in edges:
            layers[target] = max(layers[target], layers[source] + 1)
    return layers


def _chain(number: int, source: str, target: str, layers: dict[str, int]) -> list[str]:
    """Return the nodes and bends that an edge passes, and give the bends their layers."""
    between = range(layers[source] + 1, layers[target])
    bends = [BEND.format(number, layer) for layer in between]
    layers.update(zip(bends, between, strict=True))
    return [source, *bends, target]


def _ordered(layers: dict[str, int], steps: Sequence[Edge]) -> list[list[str]]:
    """Return the layers, each in an order with few crossings: by the mean place of neighbours."""
    rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
    for node, layer in layers.items():
        rows[layer].append(node)
    for sweep in range(SWEEPS):
        order = {node: i - len(row) / 2 for row in rows for i, node in enumerate(row)}
        for row in rows if sweep % 2 else reversed(rows):
            near = {each: _mean(each, steps, order, sweep % 2 == 1) for each in row}
            row.sort(key=near.__getitem__)
            order.update({node: i - len(row) / 2 for i, node in enumerate(row)})
    return rows


def _mean(node: str, steps: Sequence[Edge], places: Mapping[str, float], above: bool) -> float:
    """Return the mean place of a node's neighbours in the layer above or below."""
    near = [places[step[0] if above else step[1]] for step in steps if node == step[above]]
    return sum(near) / len(near) if near else places[node]


def _columns(
    rows: Sequence[list[str]], steps: Sequence[Edge], sizes: Mapping[str, Size]
) -> dict[str, float]:
    """Return the horizontal centres: near those of the neighbours, without overlap."""
    xs: dict[str, float] = {}
    for row in rows:
        xs.update(_apart(row, dict.fromkeys(row, 0.0), sizes))
    for sweep in range(4 * SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = {each: _mean(each, steps, xs, sweep % 2 == 1) for each in row}
            xs.update(_apart(row, wanted, sizes))
    return xs


def _apart(
    row: Sequence[str], wanted: Mapping[str, float], sizes: Mapping[str, Size]
) -> dict[str, float]:
    """Return places in this order, close to the wanted ones, with gaps between the nodes."""
    left = list(_pushed(row, wanted, sizes, 1))
    right = list(_pushed(row[::-1], wanted, sizes, -1))[::-1]
    return {each: (a + b) / 2 for each, a, b in zip(row, left, right, strict=True)}


def _pushed(
    row: Sequence[str], wanted: Mapping[str, float], sizes: Mapping[str, Size], sign: int
) -> Iterable[float]:
    edge = float("-inf")
    for each in row:
        half = sizes[each][0] / 2
        x = max(sign * wanted[each], edge + half)
        edge = x + half + GAP_X
        yield sign * x


def _finished(
    rows: Sequence[list[str]],
    xs: Mapping[str, float],
    chains: Sequence[list[str]],
    turned: Sequence[bool],
    sizes: Mapping[str, Size],
) -> Layout:
    """Return the layout with its origin at the top left, and every route in its direction."""
    left = min(xs[each] - sizes[each][0] / 2 for each in xs)
    right = max(xs[each] + sizes[each][0] / 2 for each in xs)
    layout, y = Layout(width=right - left), 0.0
    for row in rows:
        height = max(sizes[each][1] for each in row)
        layout.centres |= {each: (xs[each] - left, y + height / 2) for each in row}
        y += height + GAP_Y
    layout.height = y - GAP_Y
    ports = _ports(chains, layout.centres, sizes)
    for number, (chain, is_turned) in enumerate(zip(chains, turned, strict=True)):
        route = _route(number, chain, ports, layout.centres, sizes)
        layout.routes.append(route[::-1] if is_turned else route)
    return layout


def _ports(
    chains: Sequence[list[str]], centres: Mapping[str, Point], sizes: Mapping[str, Size]
) -> dict[tuple[int, bool], float]:
    """Return the places at which edges leave and enter nodes, side by side at each node."""
    found: dict[tuple[int, bool], float] = {}
    ends = {(i, low): (chain[-1 if low else 0], chain[-2 if low else 1], i)
            for i, chain in enumerate(chains) for low in (False, True)}  # fmt: skip
    for node in {each[0] for each in ends.values()}:
        for low in (False, True):
            here = [key for key, end in ends.items() if end[0] == node and key[1] == low]
            here.sort(key=lambda key: (centres[ends[key][1]][0], key[0]))
            room = min(0.6 * sizes[node][0] / max(1, len(here) - 1), 30)
            for place_, key in enumerate(here):
                found[key] = centres[node][0] + room * (place_ - (len(here) - 1) / 2)
    return found


def _route(
    number: int,
    chain: Sequence[str],
    ports: Mapping[tuple[int, bool], float],
    centres: Mapping[str, Point],
    sizes: Mapping[str, Size],
) -> list[Point]:
    top, bottom = chain[0], chain[-1]
    begin = (ports[number, False], centres[top][1] + sizes[top][1] / 2)
    end = (ports[number, True], centres[bottom][1] - sizes[bottom][1] / 2)
    return [begin, *(centres[each] for each in chain[1:-1]), end]

"""The page of a study: for each part its table and charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stepml.reports.charts import Column, Series, bars, line_chart
from stepml.reports.figures import cost, count, duration, shown
from stepml.reports.pages import page
from stepml.studies.baselines.kinds import SCIKIT_LEARN, VM
from stepml.studies.cells import FUNCTIONS
from stepml.studies.definition import Part, Study
from stepml.studies.lines import channel_of, others_of, pattern_of, progress_line
from stepml.studies.table import Group, Row, Table

# Kinds of seconds, with their colours.
_LOADING, _WORK, _EXCHANGE = "start and data", "work", "communication"
_COLOURS = {_LOADING: "p-start", _WORK: "p-compute", _EXCHANGE: "p-transfer"}
_MOST_LINES = 8
_UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    head: list[tuple[str, bool]]  # names of columns, and whether they have numbers
    notes: list[str]
    rows: list[list[str]]
    charts: list[Markup]


HEAD = (
    *("model", "algorithm", "exchange", "workers", "epochs", "loss", "metric"),
    *("seconds", "start", "training", "comm.", "speed-up", "US $"),
)
_WORDS = 3  # columns of text


def page_of(study: Study, table: Table) -> str:
    """Return the page of a study, one file of HTML that needs no network."""
    impossible = dict.fromkeys(cell.refusal for cell in table.refused)
    return page(
        "study.html.j2",
        title=study.title,
        sections=[_section(part, table.groups(part.name)) for part in study.parts],
        done=len(table.rows),
        left=count(len(table.left), "cell"),
        has_left=bool(table.left),
        impossible=[
            (reason, [" ".join(cell.words) for cell in table.refused if cell.refusal == reason])
            for reason in impossible
        ],
        failed=[progress_line(row) for row in table.failed],
        places=sorted({row.result.place for row in table.rows}),
    )


def _section(part: Part, groups: Sequence[Group]) -> _Section:
    algorithms = dict.fromkeys((each.cell.model, each.cell.algorithm) for each in groups)
    charts = [
        _seconds(f"{model}, {algorithm}: seconds", _of(groups, model, algorithm))
        for model, algorithm in algorithms
        if algorithm != SCIKIT_LEARN
    ]
    charts += _curves(groups)
    charts += [
        chart for model, algorithm in algorithms if (chart := _speed_ups(groups, model, algorithm))
    ]
    head, rows = _without_empty([_cells(each) for each in groups])
    return _Section(part.title, head, _notes(groups), rows, charts)


def _without_empty(rows: list[list[str]]) -> tuple[list[tuple[str, bool]], list[list[str]]]:
    """Return names and rows of the columns that say something; a single model is a note."""
    shown = [
        number
        for number in range(len(HEAD))
        if len(found := {row[number] for row in rows}) > (number == 0) and found != {_UNKNOWN}
    ]
    head = [(HEAD[number], number >= _WORDS) for number in shown]
    return head, [[row[number] for number in shown] for row in rows]


def _of(groups: Sequence[Group], model: str, algorithm: str) -> list[Group]:
    return [
        each for each in groups if each.cell.model == model and each.cell.algorithm == algorithm
    ]


def _cells(group: Group) -> list[str]:
    cell = group.cell
    others = others_of(cell)
    return [
        cell.model,
        " ".join(filter(None, [cell.algorithm, others])),
        " ".join(filter(None, [channel_of(cell), pattern_of(cell).strip(_UNKNOWN)])),
        str(cell.workers),
        _text(group, lambda row: row.result.epochs, lambda value: f"{value:.3g}"),
        _text(group, lambda row: row.result.loss, lambda value: shown(value, 4)),
        _text(group, lambda row: row.measure[1], lambda value: shown(value, 4)),
        _text(group, lambda row: row.result.seconds, _seconds_text),
        _text(group, lambda row: row.result.start_s, _seconds_text),
        _text(group, lambda row: row.result.train_s, _seconds_text),
        _text(group, lambda row: row.result.communication_share, lambda value: f"{value:.0%}"),
        _text(group, lambda row: row.speed_up, lambda value: f"{value:.2f}"),
        _text(group, lambda row: row.total_usd, cost),
    ]


def _text(group: Group, value: Callable[[Row], float | None], shown: Callable[[float], str]) -> str:
    """Return the mean of a value, with the deviation of several runs."""
    mean, deviation = group.mean(value), group.deviation(value)
    if mean is None:
        return _UNKNOWN
    return shown(mean) if deviation is None else f"{shown(mean)} ± {shown(deviation)}"


def _seconds_text(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"


def _seconds(title: str, groups: Sequence[Group]) -> Markup:
    """Return a bar for each cell: before training, work and communication."""
    columns = []
    for group in groups:
        load = group.mean(lambda row: row.result.load_s) or 0.0
        train = group.mean(lambda row: row.result.train_s) or 0.0
        share = group.mean(lambda row: row.result.communication_share) or 0.0
        parts = {_LOADING: load, _WORK: train * (1 - share), _EXCHANGE: train * share}
        columns.append(Column(_short(group), parts, duration(load + train)))
    return bars(title, columns, "s", _COLOURS)


def _short(group: Group) -> str:
    cell = group.cell
    pattern = pattern_of(cell).replace("reduce_scatter", "scatter")
    words = [channel_of(cell).replace("parameter_server", "server"), pattern, str(cell.workers)]
    return " ".join([*(each for each in words if each != _UNKNOWN), *cell.others.values()])


def _curves(groups: Sequence[Group]) -> list[Markup]:
    """Return the losses of the fastest cell of each algorithm, and of its baseline."""
    charts = []
    for model in dict.fromkeys(each.cell.model for each in groups):
        chosen = _fastest([each for each in groups if each.cell.model == model])
        for axis, effort in (("seconds of training", 1), ("US dollars", 2)):
            lines = [
                Series(
                    f"{each.cell.algorithm}, {_short(each)}",
                    [
                        ((point.seconds, point.cost_usd)[effort - 1], point.loss)
                        for point in each.result.curve
                    ],
                    is_dashed=each.cell.kind == VM,
                )
                for each in chosen
                if effort == 1 or each.cell.kind == FUNCTIONS
            ]
            charts.append(line_chart(f"{model}: loss by {axis}", lines, axis, "loss"))
    return [chart for chart in charts if chart]


def _fastest(groups: Sequence[Group]) -> list[Group]:
    best: dict[tuple[str, str], Group] = {}
    for each in groups:
        if each.cell.kind == SCIKIT_LEARN:
            continue
        name = each.cell.algorithm, each.cell.kind
        if name not in best or each.result.train_s < best[name].result.train_s:
            best[name] = each
    return list(best.values())[:_MOST_LINES]


def _speed_ups(groups: Sequence[Group], model: str, algorithm: str) -> Markup | None:
    """Return a line for each way of exchanging, if the number of workers differs."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for group in _of(groups, model, algorithm):
        speed_up = group.mean(lambda row: row.speed_up)
        if speed_up is not None:
            name = _short(group).replace(f" {group.cell.workers}", "", 1)
            lines.setdefault(name, []).append((float(group.cell.workers), speed_up))
    if not lines:
        return None
    series = [
        Series(name, sorted(points), is_dashed=name == "VM") for name, points in lines.items()
    ]
    return line_chart(f"{model}, {algorithm}: speed-up of training", series, "workers", "speed-up")


def _notes(groups: Sequence[Group]) -> list[str]:
    models = {each.cell.model for each in groups}
    names = {name for each in groups if (name := each.rows[0].measure[0])}
    model = f"model: {', '.join(models)}" if len(models) == 1 else ""
    metric = f"metric: {', '.join(sorted(names))}" if names else ""
    return ["; ".join(filter(None, [model, metric]))]

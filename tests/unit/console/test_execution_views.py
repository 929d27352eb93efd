"""The graph and the panel of an execution show what it did, and send only what has changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stepml.client.client import Client
from stepml.client.connection import Connection
from stepml.client.epoch_runs import MapRun, SeenEpoch
from stepml.client.histories import Seen
from stepml.client.invocations import InvocationLog
from stepml.client.iterations import IterationRun, iterations_of
from stepml.client.log_lines import LogLine
from stepml.console.board import Board
from stepml.console.executions_board import AttemptNow, ExecutionsNow, failed_visit
from stepml.console.widgets.epoch_head import EpochHead
from stepml.console.widgets.execution_view import ExecutionView
from stepml.console.widgets.iteration_tables import IterationTables, lost_words
from stepml.console.widgets.job_graph import JobGraph
from stepml.console.widgets.log_view import MOST_CHARACTERS, LogView
from stepml.console.widgets.tags import download
from stepml.console.widgets.text_block import MOST, TextBlock, indented, unfolded
from stepml.console.widgets.trail import Choice, Trail, Ways
from stepml.graphs.machines import Machine, machine_of
from stepml.records.failures import Failure
from stepml.records.tracing import Tracer
from stepml.records.visits import Attempt, Visit
from tests.support.drawn import Drawn, drawn
from tests.support.histories import recorded
from tests.support.paths import ROOT
from tests.support.run_records import HOSTILE, START, run_record
from tests.unit.console.test_lists import press

ARN = "arn:aws:states:us-east-1:123456789012:execution:stepml-epoch:own-e3"


def machine(name: str) -> Machine:
    return machine_of(json.loads((ROOT / f"state_machines/{name}.asl.json").read_text()))


def address(choice: Choice) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in choice.settings.items() if value)


def no_feed(*_: Any) -> Any:
    raise AssertionError("nothing is followed here")


WAYS = Ways({"arn:child": "/jobs/own/epochs/3"}.get, no_feed, no_feed)


def nowhere() -> Board:
    return Board(Client(Connection(None, "http://127.0.0.1:9")))  # type: ignore[arg-type]


def seen(history: str) -> Seen:
    tracer = Tracer()
    tracer.read(recorded(history))
    return Seen(ARN, tracer.status, tuple(tracer.visits), True, tracer.last_event)


def attempt(history: str) -> AttemptNow:
    now = seen(history)
    maps = [each for each in now.visits if each.kind == "Map"]
    runs = tuple(MapRun(each, iterations_of(now, each)) for each in maps)
    return AttemptNow(machine("epoch"), SeenEpoch(now, runs))


def view(choice: Choice) -> ExecutionView:
    return ExecutionView("The states", WAYS, address, choice, lambda _: None)


def states(page: Drawn) -> dict[str, str]:
    """Return the words of each state of the graph."""
    labels = [str(each.props["aria-label"]) for each in page.tags if "state" in each.classes]
    return dict(label.split(": ", 1) for label in labels)


def test_each_state_of_the_graph_is_a_link_that_says_what_became_of_it() -> None:
    now = attempt("failed_epoch")
    with drawn() as page:
        view(Choice("IsWide?")).show(now.machine, now.visits_in)
        said = states(page)
        nodes = [each for each in page.tags if "state" in each.classes]
        links = {str(each.props["href"]) for each in nodes}
        current = [each for each in nodes if "aria-current" in each.props]
    assert said["RunExecutors"] == "failed, 0 of 2 iterations succeeded, 1 failed, 1 stopped"
    assert said["CheckData"] == "succeeded" and said["Reduce"] == "not entered"
    assert said["IsWide?"] == "succeeded, visited 2 times"
    assert links == {address(Choice(each.name)) for each in now.machine.all_states}
    assert [str(each.props["aria-label"]).partition(":")[0] for each in current] == ["IsWide?"]


@pytest.mark.parametrize("name", ["train", "epoch", "ranks"])
def test_each_state_says_what_it_does(name: str) -> None:
    assert [each.name for each in machine(name).all_states if not each.comment] == []


def test_a_state_without_a_comment_has_no_empty_description() -> None:
    bare = machine_of({"StartAt": "Wait", "States": {"Wait": {"Type": "Task", "End": True}}})
    with drawn() as page:
        view(Choice("Wait")).show(bare, lambda _: [])
        assert "It has not been entered so far." in page.texts("p")


def test_an_unchanged_execution_sends_nothing_and_a_change_little() -> None:
    now, later = attempt("stopped_epoch"), attempt("retried_rank")
    with drawn() as page:
        shown = view(Choice())
        shown.show(now.machine, now.visits_in)
        before = set(page.tags)
        page.sent()
        shown.show(now.machine, now.visits_in)
        assert page.sent() == 0
        shown.show(later.machine, later.visits_in)
        assert 0 < page.sent() < 60
        assert before <= set(page.tags)


def test_a_choice_is_told_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    # The log is read in a thread of the event loop, of which there is none here.
    monkeypatch.setattr("stepml.console.live.Follower.follow", lambda *_: None)
    now, chosen = attempt("failed_epoch"), list[Choice]()
    with drawn() as page:
        shown = ExecutionView("The states", WAYS, address, Choice(), chosen.append)
        shown.show(now.machine, now.visits_in)
        shown.choose(Choice("CheckData"))
        assert page.find("h3", "CheckData")
        assert '"job_id"' in " ".join(page.texts("pre"))
    assert chosen == [Choice("CheckData")]


def test_a_choice_can_be_read_from_its_address() -> None:
    choice = Choice("TrainRank", 12, 2, "own-e3-g1")
    given = {name: str(value) for name, value in choice.settings.items()}
    assert Choice.parsed(**given) == choice
    assert Choice.parsed(visit="x", call="-1") == Choice()


def test_a_state_with_many_visits_shows_a_page_of_them_and_the_chosen_one() -> None:
    one = next(each for each in seen("redriven_job").visits if each.state == "Converged?")
    visits = [
        replace(one, first_event=10 * number, output=f'{{"epoch": {number}}}')
        for number in range(1, 501)
    ]
    with drawn() as page:
        shown = view(Choice("Converged?", 120))
        shown.show(machine("train"), lambda _: visits)
        assert "All 500 visits" in page.texts("summary")
        assert page.texts("pre")[-1] == '{\n  "epoch": 12\n}'
        assert len(page.tags) < 1000
        page.sent()
        shown.show(machine("train"), lambda _: [*visits, replace(visits[-1], first_event=9000)])
        assert 0 < page.sent() < 120


def test_calls_that_started_executions_lead_to_their_pages() -> None:
    now = seen("redriven_job")
    calls = [each for each in now.visits if each.state == "RunEpoch"]
    child = calls[0].attempts[0].child
    ways = Ways({child: "/jobs/own/epochs/1"}.get, no_feed, no_feed)
    with drawn() as page:
        shown = ExecutionView("", ways, address, Choice("RunEpoch", calls[0].first_event), print)
        shown.show(machine("train"), lambda _: now.visits)
        assert page.find("a", "1: open its page").props["href"] == "/jobs/own/epochs/1"


@pytest.mark.parametrize(
    ("history", "state"), [("failed_epoch", "TrainRank"), ("retried_rank", None)]
)
def test_the_visit_that_failed_is_found(history: str, state: str | None) -> None:
    choice = failed_visit(attempt(history))
    assert choice.state == state
    if state is not None:
        visit = next(v for v in seen(history).visits if v.first_event == choice.visit)
        assert (visit.status, visit.work) == ("FAILED", "rank 1")


def test_iterations_that_failed_come_first_with_their_error_and_losses() -> None:
    trail, sorts = Trail(address, print, WAYS), list[str]()
    now = attempt("failed_epoch")
    with drawn() as page:
        tables = IterationTables(trail, "own-e3", "", sorts.append)
        tables.show(now.epoch.maps, Choice())
        assert page.texts("h3") == [
            "RunExecutors: 0 of 2 iterations succeeded, 1 failed, 1 stopped"
        ]
        rows = [each.text for each in page.tags if each.tag == "a" and each.props.get("href")]
        assert rows == ["1", "0"]
        page.sent()
        tables.show(now.epoch.maps, Choice(), {1: 0.25})
        assert "0.250000" in page.texts("td") and page.sent() <= 2


def test_a_rank_that_succeeded_after_all_names_the_error_of_its_lost_call() -> None:
    calls = [
        Attempt(1, "FAILED", START, START, "Runtime.ExitError", "signal: killed"),
        Attempt(2, "FAILED", START, START, "ExecutorPausedError", "time is out"),
        Attempt(3, "SUCCEEDED", START, START),
    ]
    said = [_lost(calls), _lost(calls[1:]), _lost(calls[2:])]
    assert said == ["1 lost: Runtime.ExitError: signal: killed", "", ""]


def _lost(calls: list[Attempt]) -> str:
    visit = Visit("TrainRank", "Task", "SUCCEEDED", START, START, 2, 9, "{}", attempts=tuple(calls))
    return lost_words(IterationRun("RunExecutors", 0, "rank", 0, "SUCCEEDED", (visit,)))


def line(text: str, level: str = "INFO") -> LogLine:
    return LogLine("1", 0, "executor", level, text, 3, 1, {})


def test_a_log_shows_its_last_lines() -> None:
    lines = [line(f"line {number}") for number in range(301)] + [line("<b>\x1b[31m\u202e")]
    with drawn() as page:
        shown = LogView()
        shown.show(InvocationLog(lines, log_group="/g", log_stream="s", request_id="r"))
        said = page.texts("div")
        assert len(said) == 100
        assert said[-1].endswith("<b>\\x1b[31m\\u202e")
        assert "The last 100 of 302 lines." in page.texts("span")
        assert page.texts("p") == ["log stream s of /g, request r"]


def test_a_long_line_shows_its_beginning_and_end_until_a_person_unfolds_it() -> None:
    traceback = line("Traceback: " + "x" * 2**20 + " ValueError: mine", "ERROR")
    with drawn() as page:
        shown = LogView()
        shown.show(InvocationLog([traceback]))

        def said() -> list[str]:
            return [each for each in page.texts("span") if "x" in each]

        beginning, end = said()
        assert "Traceback: xx" in beginning and end.endswith("xx ValueError: mine")
        assert len(beginning) + len(end) == MOST_CHARACTERS
        press(page, f"… Show {len(str(traceback)) - MOST_CHARACTERS:,} characters more …")
        assert said() == [str(traceback)]
        shown.show(InvocationLog([line("y"), traceback]))  # it has moved
        assert said() == [str(traceback)]
        press(page, "Show less")
        assert said() == [beginning, end]


def test_a_long_text_is_cut_until_a_person_asks_for_all() -> None:
    with drawn() as page:
        block = TextBlock("Input")
        block.show("é" * (MOST + 1))
        assert page.texts("pre") == ["é" * MOST]
        block.show_all()
        assert page.texts("pre") == ["é" * (MOST + 1)]
        block.show("")
        assert page.texts("h4") == []


def test_json_gets_a_line_for_each_value_and_other_text_stays() -> None:
    assert indented('{"a":[1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert indented("[broken") == "[broken" and indented("plain") == "plain"
    cause = json.dumps({"Cause": json.dumps({"errorMessage": HOSTILE})})
    assert json.loads(unfolded(cause)) == {"Cause": {"errorMessage": HOSTILE}}
    assert unfolded("[" * 100_000) == "[" * 100_000


def test_a_rank_of_a_group_is_shown_from_the_execution_of_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stepml.console.live.Follower.follow", lambda *_: None)
    own, group = seen("epoch_in_groups"), replace(seen("failed_group"), arn=f"{ARN}-g1")
    of_groups = next(each for each in own.visits if each.state == "RunGroups")
    ranks = iterations_of(group, group.visits[0])
    now = AttemptNow(machine("epoch"), SeenEpoch(own, (MapRun(of_groups, ranks),)))
    choice = failed_visit(now)
    assert (choice.state, choice.execution) == ("TrainRank", "own-e3-g1")
    with drawn() as page:
        view(choice).show(now.machine, now.visits_in)
        assert any("rank 41" in each for each in page.texts("span"))
        tables = IterationTables(Trail(address, print, WAYS), "own-e3", "", print)
        tables.show(now.epoch.maps, choice)
        rows = {each.text: str(each.props["href"]) for each in page.tags if each.tag == "a"}
        assert "execution=own-e3-g1" in rows["41"]


@pytest.mark.parametrize(
    ("failed_at", "label"), [(3, "Retry"), (2, "Train again"), (None, "Train again")]
)
def test_an_epoch_is_retried_if_the_job_failed_there_and_else_trained_again(
    failed_at: int | None, label: str
) -> None:
    record = run_record(3, 4)
    failure = None if failed_at is None else Failure("BoomError", "boom", rank=1, epoch=failed_at)
    attempts = [each for each in record.attempts if each.epoch == 3]
    with drawn() as page:
        head = EpochHead(nowhere(), "own", 3)
        head.show(replace(record, failure=failure), attempts[-1], attempts)
        assert page.find("button", f"{label} from epoch 3…")
        ways = {str(each.props["href"]) for each in page.tags if "rel" in each.props}
        assert {"/jobs/own/epochs/2", "/jobs/own/epochs/4"} <= ways
        assert f"execution {attempts[-1].execution.arn}" in page.texts("span")


def test_a_long_job_shows_its_newest_execution_until_a_person_chooses_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for place in ("Place", "Follower"):
        monkeypatch.setattr(f"stepml.console.live.{place}.follow", lambda *_: None)
    first, second = seen("continued_job"), replace(seen("redriven_job"), arn=f"{ARN}-2")
    machines, chosen = (machine("train"), machine("train")), list[Choice]()
    with drawn() as page:
        asked = Choice("InitialiseModel", 3)
        graph = JobGraph(nowhere(), "own", ARN, address, asked, chosen.append)
        graph.draw(ExecutionsNow(machines[:1], (first,)))
        assert states(page)["ContinueJob"] == "succeeded"
        graph.draw(ExecutionsNow(machines, (first, second)))
        assert states(page)["ContinueJob"] == "not entered"
        assert page.find("a", "Execution 2").props["aria-current"] == "true"
        assert page.find("h3", "State")  # nothing of the new execution is chosen
        graph.choose_execution(Choice(execution="own-e3"))
        assert states(page)["ContinueJob"] == "succeeded"
        retried = replace(second, arn=f"{ARN}-3")
        graph.draw(ExecutionsNow(machines[:1], (first,)))  # until the other continuation begins
        graph.draw(ExecutionsNow(machines, (first, retried)))
        assert page.find("a", "Execution 2").props["href"] == address(Choice(execution="own-e3-3"))
    assert chosen == [Choice(execution="own-e3")]


def test_a_file_has_escapes_for_what_cannot_be_sent() -> None:
    with drawn() as page:
        page.call(lambda: download("loss \ud800", "own.log"))
        *_, (_, _, sent) = page.client.outbox.messages
    assert sent == {"src": b"loss \\ud800", "filename": "own.log", "media_type": "text/plain"}

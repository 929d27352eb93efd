"""A notebook shows runs while they run, in every cell that asked for them, and each once a cell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.lib.pretty import pretty

from stepml.client import Run, RunFailedError
from tests.support.kernel import Kernel, Output
from tests.support.moto_stack import JOB, MotoStack
from tests.support.running_aws import eventually


@pytest.fixture(scope="module")
def kernel(stack: MotoStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel in which ``find`` returns a run of a stack."""
    running = Kernel(tmp_path_factory.mktemp("notebook"))
    running.run(f"""
from stepml.client import Client, connect
client = Client(connect({stack.endpoint_url!r}))
def find(name, stack="stepml"):
    return Client(client.connection, stack).find(name)
""")
    yield running
    running.end()


def started(stack: MotoStack, name: str, of: str = "stepml") -> Run:
    return stack.client(of).run(JOB, name)


def kinds(outputs: list[Output]) -> list[str]:
    return [each.kind for each in outputs]


def test_a_cell_that_waits_shows_a_run_once_and_then_its_end(
    stack: MotoStack, kernel: Kernel
) -> None:
    run = started(stack, "waited-for")
    stack.put_results(run.name, stack.put_epochs(run.name, 3))
    outputs = kernel.run("run = find('waited-for'); run.wait()")
    assert kinds(outputs).count("display_data") == 1
    assert {each.display_id for each in outputs} == {f"stepml {run.arn} 0"}
    assert "waited-for: converged" in outputs[-1].text
    assert "svg" in outputs[-1].html
    assert kinds(kernel.run("run"))[:1] == ["display_data"]
    awaited = kernel.run("await run")
    assert kinds(awaited)[:1] == ["display_data"]
    assert kinds(awaited).count("display_data") == 1
    assert kernel.run("run.wait(show=False);") == []


def test_a_run_is_followed_in_the_cells_that_have_shown_it(
    stack: MotoStack, kernel: Kernel
) -> None:
    run = started(stack, "followed", of="endless")
    (shown,) = kernel.run("run = find('followed', 'endless'); run")
    assert "followed: running" in shown.text
    late = kernel.run("run.wait(timeout_s=0)")
    assert [each.error for each in late if each.error] == ["TimeoutError"]
    stack.put_epochs(run.name, 2, ended=False)
    stack.service("stepfunctions").stop_execution(executionArn=run.arn)
    updates: list[Output] = []

    def last_text() -> str:
        updates.extend(kernel.outputs())
        return updates[-1].text if updates else ""

    eventually(last_text, lambda text: "followed: stopped" in text)
    assert set(kinds(updates)) == {"update_display_data"}
    assert {each.display_id for each in updates} == {shown.display_id}


def test_a_thread_that_no_longer_follows_a_run_shows_nothing(
    stack: MotoStack, kernel: Kernel
) -> None:
    started(stack, "overtaken", of="endless")
    outputs = kernel.run("""
from threading import Event
from stepml.client.live import _Card
run, stop = find("overtaken", "endless"), Event()
card, news = _Card(run, "an id", stop), run.watch()
card.show(next(news))
stop.set()
_Card(run, "an id", stop).show(next(news))
""")
    assert kinds(outputs) == ["update_display_data"]


def test_a_run_that_fails_shows_why_above_the_error(stack: MotoStack, kernel: Kernel) -> None:
    started(stack, "failing-run", of="failing")
    outputs = kernel.run("find('failing-run', 'failing').wait()")
    assert [each.error for each in outputs if each.error] == [RunFailedError.__name__]
    last = [each for each in outputs if each.forms][-1]
    assert "BadRowError" in last.html
    assert "data/x.csv, line 17" in last.text


def test_lists_epochs_and_comparisons_are_tables(stack: MotoStack, kernel: Kernel) -> None:
    names = ["listed-a", "listed-b"]
    for count, name in enumerate(names, 2):
        started(stack, name).wait()
        stack.put_results(name, stack.put_epochs(name, count))
    cells = {
        "client.runs(limit=2)": names,
        f"client.compare(*{names})": ["best", *names],
        "client.find('listed-a').epochs": ["attempt", "note"],  # of none in this stack
        "client.find('listed-a').report()": ["sandbox", names[0]],
        f"client.compare(*{names}).to_frame()": ["training_loss", names[0]],
        "client.runs(limit=1).to_frame()": ["accuracy", names[1]],
    }
    for cell, words in cells.items():
        (output,) = kernel.run(cell)
        assert output.kind == "execute_result", cell
        for word in words:
            assert word in output.html, cell
    (plot,) = kernel.run("client.find('listed-b').plot()")
    assert "image/png" in plot.forms


def test_elsewhere_a_run_has_static_forms(stack: MotoStack) -> None:
    run = started(stack, "static").wait()
    assert "static" in run._repr_html_()
    assert "static: finished" in pretty(run)
    with pytest.raises(NotImplementedError):  # so that IPython takes another form
        run._ipython_display_()


def test_frames_have_a_row_for_each_run_and_attempt(stack: MotoStack) -> None:
    run = started(stack, "framed").wait()
    stack.put_results(run.name, stack.put_epochs(run.name, 2))
    frame = stack.client().runs(limit=1).to_frame()
    assert frame.loc[0, ["job_id", "epochs", "accuracy"]].tolist() == ["framed", 2, 0.75]
    assert frame["started_at"].dt.tz is not None

"""A person's first hour with an installed StepML: ``python -I person.py PORT``."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

BIN = Path(sys.executable).parent
DIGITS = Path.home() / ".cache" / "stepml" / "datasets" / "digits.csv"
HEAVY = {"pandas", "matplotlib", "sklearn", "scipy", "torch", "IPython", "numpy"}
JOB = {
    "data": {"uri": "data/digits.csv", "label": "digit"},
    "model": {"name": "softmax_regression"},
    "algorithm": {"name": "model_averaging", "learning_rate": 0.1},
    "workers": 2,
    "stop": {"max_epochs": 3},
}


def imports() -> None:
    """The package is not that of a checkout, and is light."""
    before = set(sys.modules)
    import stepml

    assert "site-packages" in str(stepml.__file__)
    assert set(sys.modules) - before <= {"stepml"}, set(sys.modules) - before
    _ = stepml.Client, stepml.Run, stepml.Job
    assert not HEAVY & {each.partition(".")[0] for each in sys.modules}


def commands() -> None:
    """The command line trains on this machine."""
    command("data", "get", "digits", "--local", "--upload")
    Path("job.json").write_text(json.dumps(JOB))
    command("run", "job.json", "--local", "--name", "by-command")
    command("predict", "runs/by-command", str(DIGITS), "--out", "predictions.csv")


def client() -> None:
    """The client runs a job, and a run has all that notebooks show."""
    import stepml

    run = stepml.Client().run(JOB, wait=True)
    assert len(run.epochs) == 3
    assert list(run.epochs.to_frame()["epoch"]) == [1, 2, 3]
    assert len(run.parts) > 0
    run.plot()
    run.report().save("report.html")
    X, y = digits()
    assert (run.predict(X).astype(int) == y).mean() > 0.85
    assert stepml.Run.from_arn(run.arn).status == "SUCCEEDED"
    assert stepml.Client().runs()[0].name == run.name
    other = stepml.Client().run({**JOB, "stop": {"max_epochs": 1}})
    asyncio.run(awaited(other))


async def awaited(run: Any) -> None:
    """Wait for a run as asyncio does."""
    await run


def estimators() -> None:
    """An estimator of scikit-learn fits, predicts and is found by a search."""
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from stepml import StepMLClassifier, StepMLKMeans, StepMLRegressor

    X, y = digits()
    began = time.monotonic()
    assert StepMLClassifier(workers=2).fit(X, y).score(X, y) > 0.9
    print(f"  a fit took {time.monotonic() - began:.1f} s", flush=True)
    pipeline = make_pipeline(StandardScaler(), StepMLRegressor())
    assert cross_val_score(pipeline, X, y, cv=2).mean() > 0.3
    assert StepMLKMeans(n_clusters=10).fit(X).cluster_centers_.shape == (10, 64)


def trackers() -> None:
    """TensorBoard's, MLflow's and plain files have the curves of a run."""
    import stepml
    from stepml.tracking import JsonLines, MLflow, TensorBoard

    callbacks = [JsonLines("track.jsonl"), TensorBoard("logs"), MLflow(f"file:{Path.cwd()}/mlruns")]
    stepml.Client().run(JOB, wait=True, callbacks=callbacks)
    lines = [json.loads(each) for each in Path("track.jsonl").read_text().splitlines()]
    assert len(lines) >= 4
    assert any(Path("logs").rglob("events.out.tfevents.*"))
    assert any(Path("mlruns").rglob("metrics/*"))


def sdk() -> None:
    """AWS's Data Science SDK runs a job on the deployed machine."""
    import stepml
    from stepml.workflow import deployed_workflow, train_steps

    client = stepml.Client()
    execution = deployed_workflow(client).execute(name="by-the-sdk", inputs=uploaded(JOB))
    assert execution.get_output(wait=True)["job_id"] == "by-the-sdk"
    assert "by-the-sdk" in execution.render_progress().data
    assert len(train_steps(client)) == len(train_steps(client, only_sdk=True))


def own_code() -> None:
    """A model and an algorithm of the person's own train without a fork."""
    command("data", "get", "diabetes", "--local", "--upload")
    for job in sorted(Path("examples/own_code").glob("*.json")):
        command("run", str(job), "--local", "--code", str(job.parent), "--name", job.stem)


def console() -> None:
    """The console serves its pages, with all that they load."""
    command_line = [BIN / "stepml", "console", "--local", "--json", "--port=0"]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"].rstrip("/")
            with urlopen(f"{url}/jobs/by-command") as answer:
                page, cookie = answer.read().decode(), answer.headers["set-cookie"]
            for part in re.findall(r'(?:src|href)="(/[^"]+)"', page):
                urlopen(Request(url + part, headers={"cookie": cookie})).close()
        finally:
            process.terminate()
    assert process.returncode == 0


def notebooks() -> None:
    """The first notebook runs from top to bottom."""
    for name in ("first_job", "sdk"):
        place = f"examples/notebooks/{name}.ipynb"
        arguments = ("nbconvert", "--to", "html", "--execute", "--output-dir", "html", place)
        subprocess.run([BIN / "jupyter", *arguments], check=True, stderr=subprocess.DEVNULL)


def digits() -> Any:
    """Return the digits of scikit-learn."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def uploaded(job: dict[str, Any]) -> dict[str, Any]:
    """Return the job with the address that its data have in the stack's bucket."""
    import stepml

    ran = stepml.Client().find("by-command").planned
    assert ran is not None
    return job | {"data": {**job["data"], "uri": ran.data.uri}}


def command(*arguments: str) -> None:
    """Run a command of StepML."""
    subprocess.run([BIN / "stepml", *arguments], check=True, stdout=subprocess.DEVNULL)


PARTS: list[Callable[[], None]] = [
    imports,
    commands,
    client,
    estimators,
    trackers,
    own_code,
    sdk,
    console,
    notebooks,
]


def main(port: str) -> int:
    """Try each part, and show those that fail; return the exit code."""
    command("local", "up", "--port", port)
    try:
        return 1 if [part for part in PARTS if not tried(part)] else 0
    finally:
        command("local", "down", "--yes")


def tried(part: Callable[[], None]) -> bool:
    """Return whether a part works; show how long it took, or its error."""
    began = time.monotonic()
    try:
        part()
    except Exception as error:
        print(f"  {part.__name__}: {type(error).__name__}: {error}", flush=True)
        return False
    print(f"  {part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Facts about a data set stay small: they travel in states and are read in every epoch."""

from __future__ import annotations

import msgspec

from stepml.job.choices import with_format
from stepml.job.parse import parse_job
from stepml.ml.data import SourceFormat
from stepml.ml.dataset_facts import dataset_facts
from tests.support.data_sets import MemoryObjects, partition

N_COLUMNS = 2_000
MOST_BYTES = 8_000


def test_facts_about_a_wide_table_are_bounded() -> None:
    names = [f"column_{n}" for n in range(N_COLUMNS)]
    rows = [
        ",".join(
            [f"{'ab'[(row + n) % 2]}" if n % 2 else str(n) * (row > 3) for n in range(N_COLUMNS)]
        )
        for row in range(9)
    ]
    text = "\n".join(
        [",".join([*names, "y"]), *(f"{row},{n % 2}" for n, row in enumerate(rows)), ""]
    )
    job = {"data": {"uri": "s3://bucket/x.csv"}, "model": {"name": "logistic_regression"}}
    spec = with_format(parse_job(job), "csv")
    options = SourceFormat.from_data(spec.data)
    manifest = partition(MemoryObjects(x=text.encode()), format="csv", settings=options.settings)

    facts = dataset_facts(spec, manifest, 1, [])

    assert facts.kinds == {"number": N_COLUMNS // 2, "category": N_COLUMNS // 2}
    assert len(facts.fills["mean"]) == len(facts.levels) == 20
    assert len(msgspec.json.encode(facts)) < MOST_BYTES

"""Conversions of JSON to types in several threads."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT

# msgspec alone crashes the process.
FIRST_USES = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from msgspec import defstruct
from stepml.job.documents import decode, encode

def part(number):
    return defstruct(f"Part{number}", [(f"field{each}", int | None, None) for each in range(20)])

def first_use(kind):
    barrier.wait()
    return decode(document, kind, "key")

sys.setswitchinterval(1e-6)
barrier = Barrier(8)
with ThreadPoolExecutor(8) as pool:
    for _ in range(10):
        parts = [part(number) for number in range(10)]
        whole = defstruct("Whole", [(f"part{number}", each) for number, each in enumerate(parts)])
        document = encode(whole(*[each() for each in parts]))
        assert list(pool.map(first_use, [whole] * 8)) == [whole(*[each() for each in parts])] * 8
"""


def test_threads_may_use_a_type_for_the_first_time_at_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_USES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr

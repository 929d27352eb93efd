"""Studies: grids of jobs over the same data, with baselines, in one table and one page."""

from __future__ import annotations

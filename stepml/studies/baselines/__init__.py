"""Baselines of a study: the same training without functions."""

from __future__ import annotations

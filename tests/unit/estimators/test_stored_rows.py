"""Fits of one process share an upload, and leave nothing."""

from __future__ import annotations

"""torch, for tests that need it; without it they are skipped."""

from __future__ import annotations

import pytest

from tests.support.torch_reason import NEEDS_TORCH

torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
torch.set_num_threads(1)

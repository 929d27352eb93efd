"""torch, for tests that need it; without it they are skipped."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'stepml[torch]'")
torch.set_num_threads(1)

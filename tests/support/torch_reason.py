"""The reason for which single tests are skipped; `tests.support.torch` skips whole modules."""

from __future__ import annotations

NEEDS_TORCH = "needs torch: pip install 'stepml[torch]'"

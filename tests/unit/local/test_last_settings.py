"""The settings of the local AWS that was started last, in hints after its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepml.local.daemon import NotRunningError, require
from stepml.local.record import SETTINGS, Settings, read_settings


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (Settings(), ""),
        (Settings(Path("/my runs")), " --keep '/my runs'"),
        (Settings(network="aws"), " --network aws"),
        (Settings(Path("/kept"), "/n.toml"), " --keep /kept --network /n.toml"),
    ],
)
def test_a_hint_starts_it_as_it_was(settings: Settings, options: str) -> None:
    settings.write()
    assert read_settings() == settings
    with pytest.raises(NotRunningError) as caught:
        require()
    assert str(caught.value).endswith(f"start it with: stepml local up{options}")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keep": '])
def test_settings_that_cannot_be_read_are_unknown(state: Path, content: str) -> None:
    (state / SETTINGS).write_text(content)
    assert read_settings() == Settings()

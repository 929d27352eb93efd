"""A kernel of notebooks, and the outputs of its cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import start_new_kernel

LONGEST_S = 240.0  # of a cell
NO_MORE_S = 0.1  # without an output


@dataclass(frozen=True)
class Output:
    """A message of a kernel to the notebook."""

    kind: str  # display_data, update_display_data, execute_result, error
    display_id: str = ""
    forms: dict[str, Any] = field(default_factory=dict)  # by media type
    error: str = ""  # name of its class

    @property
    def text(self) -> str:
        return str(self.forms.get("text/plain", ""))

    @property
    def html(self) -> str:
        return str(self.forms.get("text/html", ""))


class Kernel:
    """A process that runs cells one after another; ``directory`` is its own."""

    # In this process, `comm` is our package, not that of Jupyter.

    def __init__(self, directory: Path) -> None:
        self._manager, self._client = start_new_kernel(kernel_name="python3", cwd=str(directory))

    def run(self, cell: str) -> list[Output]:
        """Run a cell, and return its outputs and those of threads."""
        found: list[dict[str, Any]] = []
        self._client.execute_interactive(cell, timeout=LONGEST_S, output_hook=found.append)
        return _outputs(found)

    def outputs(self) -> list[Output]:
        """Return the outputs of threads since the last call."""
        found = []
        while True:
            try:
                found.append(self._client.get_iopub_msg(timeout=NO_MORE_S))
            except Empty:
                return _outputs(found)

    def end(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def _outputs(messages: list[dict[str, Any]]) -> list[Output]:
    outputs = (_output(each["header"]["msg_type"], each["content"]) for each in messages)
    return [each for each in outputs if each is not None]


def _output(kind: str, content: dict[str, Any]) -> Output | None:
    if kind == "error":
        return Output(kind, error=content["ename"])
    if "data" not in content:
        return None
    return Output(kind, content.get("transient", {}).get("display_id", ""), content["data"])

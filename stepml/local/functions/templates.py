"""Template processes, from which the processes of functions are forked.

A template has loaded the libraries of a function's code once. Settings that differ between its
processes are sent to the new process: see :mod:`.bootstrap`, the other side of the sockets.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
START_S = 120.0  # for a template to load the libraries and to fork
RETRY_PAUSES_S = (0.0, 0.2, 0.5)  # after a template has ended before it forked
END_S = 10.0  # a template ends at once after its server
MAX_UNUSED = 8  # templates without a process; each holds some 60 MB
# Read only after a handler's module is imported, so they may differ between forked processes.
OF_ONE_PROCESS = frozenset(
    {
        "AWS_ACCESS_KEY_ID",  # of the function's role
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "_HANDLER",
    }
)
# Likewise the variables of our own functions, except for the one that names modules to load. The
# template has those of its first process, which say what libraries are worth loading early.
OF_OUR_FUNCTIONS, MODULES = "STEPML_", "STEPML_MODULES"


def is_of_template(variable: str) -> bool:
    """Return whether all processes of a template have the same value of ``variable``."""
    is_ours = variable.startswith(OF_OUR_FUNCTIONS) and variable != MODULES
    return not (is_ours or variable in OF_ONE_PROCESS)


class TemplateEndedError(Exception):
    """A template ended, or was killed, before it forked a process."""


class Process:
    """A process forked by a template; its children are in its process group.

    Attributes
    ----------
    pid : int
    output_fd : int
        Its standard output and error; reading does not block.
    exit_fd : int
        Becomes readable when it has ended.
    began : float
        The time at which it was forked, by :func:`time.monotonic`.
    returncode : int or None
        As of :class:`subprocess.Popen`; known after :meth:`wait`.
    """

    def __init__(self, template: Template, handler: str, variables: Mapping[str, str]) -> None:
        self._template = template
        self._is_closed = False
        self.returncode: int | None = None
        # Without data: its end tells the process that the server has ended.
        server_end, self._server_pipe = os.pipe()
        self.output_fd, output = os.pipe()
        os.set_blocking(self.output_fd, False)
        self._life, life = socket.socketpair()
        self.exit_fd = self._life.fileno()
        try:
            try:
                template.fork(server_end, output, life.fileno())
            finally:
                life.close()
                os.close(server_end)
                os.close(output)
            self.pid = self._begin({"handler": handler, "variables": dict(variables)})
            self.began = time.monotonic()
        except BaseException:
            self._release()
            raise

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, unless it was closed."""
        if not self._is_closed:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Return whether the process has ended within ``timeout_s``."""
        if self.returncode is None and _is_readable(self._life, timeout_s):
            self.returncode = self._exit_status()
        return self.returncode is not None

    def close(self) -> None:
        """Kill the process, wait for it and release its resources."""
        self.signal(signal.SIGKILL)
        self.wait(END_S)
        self._is_closed = True
        self._release()

    def _begin(self, request: Mapping[str, object]) -> int:
        self._life.settimeout(START_S)
        with suppress(ConnectionError):
            self._life.sendall(json.dumps(request).encode() + b"\n")
        word, _, pid = self._receive().partition(" ")
        if word != "pid":
            raise TemplateEndedError(f"no process: {word} {pid}")
        return int(pid)

    def _exit_status(self) -> int:
        word, _, code = self._receive().partition(" ")
        if word == "exit":
            return int(code)
        self.signal(signal.SIGKILL)  # its template has ended, so nothing would report its exit
        return -signal.SIGKILL

    def _receive(self) -> str:
        """Return the next line, which is one packet, or "" without a template that works."""
        try:
            return self._life.recv(100).decode().strip()
        except (ConnectionError, TimeoutError):  # at a time-out it hangs, and is replaced
            return ""

    def _release(self) -> None:
        self._life.close()
        os.close(self._server_pipe)
        os.close(self.output_fd)
        self._template.released()


class Template:
    """A running template process.

    Parameters
    ----------
    task_root : Path
        The working directory.
    variables : Mapping
        The environment variables of its first process, without those of one process.
    """

    def __init__(self, task_root: Path, variables: Mapping[str, str]) -> None:
        self.last_used = time.monotonic()
        self.n_processes = 0
        self._lock = threading.Lock()
        self._server, server = socket.socketpair()
        try:
            with server:
                self._process = _run_bootstrap(task_root, variables, server)
        except BaseException:
            self._server.close()
            raise

    def fork(self, *descriptors: int) -> None:
        """Request one process with ``descriptors``.

        Raises
        ------
        TemplateEndedError
        """
        with self._lock:
            self.n_processes += 1
            try:
                socket.send_fds(self._server, [b"f"], descriptors)
            except OSError as error:
                raise TemplateEndedError(str(error)) from error

    def released(self) -> None:
        """Record that a process has been closed."""
        with self._lock:
            self.n_processes -= 1
            self.last_used = time.monotonic()

    def end(self) -> None:
        """End the template, whose processes have all been released."""
        self._server.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)


class Templates:
    """One template for each code and environment, started with its first process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._templates: dict[object, Template] = {}
        self._is_closed = False

    def start(self, handler: str, task_root: Path, variables: Mapping[str, str]) -> Process:
        """Return a new process of ``handler``.

        Raises
        ------
        TemplateEndedError
            Several templates have ended, one after the other.
        """
        shared = {name: variables[name] for name in variables.keys() - OF_ONE_PROCESS}
        for pause_s in RETRY_PAUSES_S:
            template = self._find(task_root, shared)
            try:
                return Process(template, handler, variables)
            except TemplateEndedError:  # it was killed, or ended because it was unused
                self._forget(template)
            time.sleep(pause_s)
        return Process(self._find(task_root, shared), handler, variables)

    def end_unused(self, unused_since: float) -> None:
        """End templates without a process that are unused since then, or the oldest of too many."""
        with self._lock:
            unused = [t for t in self._templates.values() if t.n_processes == 0]
            unused.sort(key=lambda template: template.last_used)
            excess = max(0, len(unused) - MAX_UNUSED)
            ending = unused[:excess]
            ending += [each for each in unused[excess:] if each.last_used < unused_since]
            self._templates = {k: t for k, t in self._templates.items() if t not in ending}
        for template in ending:
            template.end()

    def close(self) -> None:
        """End all templates; later starts fail."""
        with self._lock:
            self._is_closed = True
            ending, self._templates = [*self._templates.values()], {}
        for template in ending:
            template.end()

    def _find(self, task_root: Path, variables: Mapping[str, str]) -> Template:
        key = task_root, frozenset(each for each in variables.items() if is_of_template(each[0]))
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the function pool is closed")
            if key not in self._templates:
                self._templates[key] = Template(task_root, variables)
            return self._templates[key]

    def _forget(self, template: Template) -> None:
        with self._lock:
            self._templates = {k: t for k, t in self._templates.items() if t is not template}
        template.end()


def _run_bootstrap(
    task_root: Path, variables: Mapping[str, str], server: socket.socket
) -> subprocess.Popen[bytes]:
    # -P excludes the bootstrap's own directory from imports; -S: no .pth files (see bootstrap.py).
    command = [sys.executable, "-P", "-S", str(BOOTSTRAP), *package_directories()]
    return subprocess.Popen(  # noqa: S603 (this interpreter, our own bootstrap)
        command,
        stdin=server.fileno(),
        stdout=subprocess.DEVNULL,
        cwd=task_root,
        env=dict(variables),
        start_new_session=True,  # so that Ctrl-C is for the server
    )


def package_directories() -> list[str]:
    """Return this interpreter's directories of third-party packages."""
    names = {"site-packages", "dist-packages"}
    return [path for path in sys.path if Path(path).name in names]


def _is_readable(stream: socket.socket, timeout_s: float) -> bool:
    ready = select.poll()  # select() has no descriptors above 1,023
    ready.register(stream, select.POLLIN)
    return bool(ready.poll(timeout_s * 1000))

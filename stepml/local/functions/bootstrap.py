"""Starts a template process. It is run by its path and imports no module of ours.

A template process has loaded the libraries of a function's code. The function's processes are
forked from it, so each starts with these libraries and an otherwise fresh interpreter.

Arguments: the directories of third-party packages. Standard input is a socket to the server. Each
message requests one process and carries three descriptors:

* a pipe without data, which the system closes when the server ends,
* the pipe for the output of the process,
* a socket, called *life*: the process sends its id and receives its handler and its environment
  variables; the template sends the exit status. The process remains a zombie until the server
  closes the socket, so that no other process gets its id.
"""

import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import site
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

SERVER_END_S = 1.0  # the system closes a dead server's sockets and pipes one after another
ROUTES = "STEPML_LOCAL_ROUTES"  # addresses of private networks → those on this machine
NETWORK = "STEPML_LOCAL_NETWORK"  # the network of a cloud, if functions are to feel one
PRELOADED = "lambdas.preloaded"  # imports the modules that processes may share, if it exists


class Descriptors(NamedTuple):
    """The descriptors for a new process."""

    server: int
    output: int
    life: int


class Template:
    """The processes forked from this one that the server has not released."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._exits, self._on_exit = socket.socketpair()  # readable when a process has ended
        self._lives: dict[int, socket.socket] = {}  # by process id
        self._ended: set[int] = set()  # of these: those whose exit is reported
        self._released: set[int] = set()  # killed and without a life; to be reaped
        self._poll = select.poll()
        self._poll.register(self._server, select.POLLIN)
        self._poll.register(self._exits, select.POLLIN)
        self._on_exit.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler, no wakeup happens
        signal.set_wakeup_fd(self._on_exit.fileno(), warn_on_full_buffer=False)

    def serve(self) -> Descriptors:
        """Fork a process for each message; return in the new processes only.

        Raises
        ------
        SystemExit
            The server has ended.
        """
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._exits.fileno() in ready:
                self._exits.recv(4096)
                self._report_exits()
            for pid in [pid for pid, life in self._lives.items() if life.fileno() in ready]:
                self._release(pid)
            self._released = {pid for pid in self._released if not os.waitpid(pid, os.WNOHANG)[0]}
            if self._server.fileno() in ready and (descriptors := self._fork()):
                return descriptors

    def _fork(self) -> Descriptors | None:
        message, fds, *_ = socket.recv_fds(self._server, 1, len(Descriptors._fields))
        if not message:
            raise SystemExit
        descriptors = Descriptors(*fds)
        pid = os.fork()
        if pid == 0:
            self._forget()
            return descriptors
        os.close(descriptors.server)
        os.close(descriptors.output)
        self._lives[pid] = socket.socket(fileno=descriptors.life)
        self._poll.register(descriptors.life, 0)  # only its end; the process reads its data
        return None

    def _report_exits(self) -> None:
        for pid in self._lives.keys() - self._ended:
            exited = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if exited is not None:
                self._ended.add(pid)
                is_signal = exited.si_code != os.CLD_EXITED
                code = -exited.si_status if is_signal else exited.si_status
                with suppress(ConnectionError):
                    self._lives[pid].sendall(b"exit %d\n" % code)

    def _release(self, pid: int) -> None:
        self._ended.discard(pid)
        self._released.add(pid)
        life = self._lives.pop(pid)
        self._poll.unregister(life)
        life.close()

    def _forget(self) -> None:
        """Close the template's descriptors in a new process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._server, self._exits, self._on_exit, *self._lives.values()):
            each.close()


def take_server() -> socket.socket:
    """Return the socket at standard input and make that empty for handlers, as on AWS."""
    server = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return server


def preload() -> None:
    """Load shared modules, but not awslambdaric, which reads its address at import."""
    gc.disable()  # it would look at the modules again and again, and find no garbage
    with suppress(Exception):  # the handler's own imports will raise the same error
        importlib.import_module(PRELOADED)
    gc.freeze()  # the collector would touch shared objects, which copies their pages
    gc.enable()


def begin(descriptors: Descriptors) -> str:
    """Set up a forked process like one that was started anew; return its handler."""
    os.setsid()  # so that a kill reaches its children
    for output in (1, 2):  # one pipe preserves the order of both
        os.dup2(descriptors.output, output)
    os.close(descriptors.output)
    request = ask(socket.socket(fileno=descriptors.life))
    os.environ.clear()
    os.environ.update(request["variables"])
    route(json.loads(os.environ.pop(ROUTES, "{}")))
    slow_down(os.environ.pop(NETWORK, ""))
    random = sys.modules.get("numpy.random")
    if random is not None:  # the standard library reseeds itself after a fork
        random.seed()
    handler: str = request["handler"]
    return handler


def route(routes: dict[str, str]) -> None:
    """Let connections to ``host:port`` of a private network reach the server on this machine."""
    if not routes:
        return
    connect = socket.socket.connect

    def connect_routed(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple):
            host, _, port = routes.get(f"{address[0]}:{address[1]}", "").partition(":")
            address = (host, int(port)) if host else address
        connect(self, address)

    socket.socket.connect = connect_routed  # type: ignore[assignment, method-assign]


def slow_down(network: str) -> None:
    """Let connections feel the ``network`` of a cloud, unless it is empty."""
    if network:
        path = Path(__file__).with_name("links.py")
        spec = importlib.util.spec_from_file_location("stepml_local_links", path)
        assert spec is not None
        assert spec.loader is not None
        links = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(links)
        links.slow_down(json.loads(network))


def ask(life: socket.socket) -> Any:
    with life:
        life.sendall(b"pid %d\n" % os.getpid())
        return json.loads(life.makefile("rb").readline())


def end_with(server: int) -> None:
    """Wait for the end of the pipe, then end this process and its children."""
    os.read(server, 1)
    os.killpg(os.getpid(), signal.SIGKILL)


def run(handler: str, server: int) -> None:
    """Ask the Runtime API for events until the server ends."""
    watch = threading.Thread(target=end_with, args=(server,), name="server-watch", daemon=True)
    watch.start()
    sys.argv = [sys.argv[0], handler]
    try:
        importlib.import_module("awslambdaric.__main__").main(sys.argv)
    except Exception:
        # Not the handler's error, which is reported: the Runtime API has ended, usually with its
        # server. An exit now would prevent the watch from ending the handler's children.
        watch.join(SERVER_END_S)
        raise


def main() -> None:
    # After the task root and the standard library. As with Lambda's layers, no .pth file is read:
    # an editable install of the project must not replace code that a package lacks.
    sys.path.extend(sys.argv[1:])
    site.setquit()  # python -S omits exit() and quit()
    server = take_server()
    preload()
    descriptors = Template(server).serve()
    run(begin(descriptors), descriptors.server)


if __name__ == "__main__":
    main()

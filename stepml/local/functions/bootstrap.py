"""The first code of a template process: run by path, so that nothing of ours is imported.

A template process has loaded the libraries of a function's code. The processes of the function are
forked from it, so each one begins with these libraries and an otherwise fresh interpreter.

Arguments: the directories of third-party packages. Standard input is a socket to the server. Each
message asks for one process; it carries three descriptors:

* a pipe that ends when the server does, however that dies; nothing is written to it,
* the pipe for the output of the process,
* a socket, called *life*: the process sends its id and receives its handler and its environment
  variables; the template sends the exit status. The process stays a zombie, so that no other gets
  its id, until the server closes the socket.
"""

import gc
import importlib
import json
import os
import select
import signal
import site
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, NamedTuple

SERVER_END_S = 1.0  # a dying server's sockets and pipes are closed one after another, but at once
PRELOADED = "lambdas.preloaded"  # a module that imports what templates may share, if code has it


class Descriptors(NamedTuple):
    """What a new process is given."""

    server: int
    output: int
    life: int


class Template:
    """The processes that were forked from this one and have not been released by the server."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._exits, self._on_exit = socket.socketpair()  # readable when a process has ended
        self._lives: dict[int, socket.socket] = {}  # by process id
        self._ended: set[int] = set()  # of these: reported
        self._released: set[int] = set()  # without a life: killed, to be reaped
        self._poll = select.poll()
        self._poll.register(self._server, select.POLLIN)
        self._poll.register(self._exits, select.POLLIN)
        self._on_exit.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only a signal with a handler is noticed
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
        self._poll.register(descriptors.life, 0)  # its end alone: the process reads what is sent
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
        """Close, in a new process, what belongs to the template."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._server, self._exits, self._on_exit, *self._lives.values()):
            each.close()


def take_server() -> socket.socket:
    """Return the socket at standard input, where handlers find nothing to read, as on AWS."""
    server = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return server


def preload() -> None:
    """Load what the processes may share; not awslambdaric, which reads its address when loaded."""
    with suppress(Exception):  # also if there is none; the handler's own imports will say why
        importlib.import_module(PRELOADED)
    gc.freeze()  # the collector does not touch, and so copy, what is shared


def begin(descriptors: Descriptors) -> str:
    """Make a new process one of its own, as if it had been started; return its handler."""
    os.setsid()  # a kill reaches all that it starts
    for output in (1, 2):  # one pipe keeps the order of both
        os.dup2(descriptors.output, output)
    os.close(descriptors.output)
    request = ask(socket.socket(fileno=descriptors.life))
    os.environ.clear()
    os.environ.update(request["variables"])
    random = sys.modules.get("numpy.random")
    if random is not None:  # the standard library's generator does so itself
        random.seed()
    handler: str = request["handler"]
    return handler


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
    # After the task root and the standard library. As with Lambda's layers no .pth file is read:
    # an editable install of the project must not stand in for code left out of the package.
    sys.path.extend(sys.argv[1:])
    site.setquit()  # python -S leaves exit() and quit() out
    server = take_server()
    preload()
    descriptors = Template(server).serve()
    run(begin(descriptors), descriptors.server)


if __name__ == "__main__":
    main()

"""The first code of a function's process: run by path, so that nothing of ours is imported.

Arguments: the handler, then the directories of third-party packages. Standard input is a pipe
whose other end the server holds; it is never written to, and ends when the server does, however
that dies.
"""

import os
import signal
import site
import sys
import threading

SERVER_END_S = 1.0  # a dying server's sockets and pipes are closed one after another, but at once


def end_with(server: int) -> None:
    """Wait for the end of the pipe, then end this process and all that it started."""
    os.read(server, 1)
    os.killpg(os.getpid(), signal.SIGKILL)


def watch_server() -> threading.Thread:
    server = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a handler that reads standard input finds it empty, as on AWS
    os.close(nothing)
    watch = threading.Thread(target=end_with, args=(server,), name="server-watch", daemon=True)
    watch.start()
    return watch


def main() -> None:
    watch = watch_server()
    handler, *packages = sys.argv[1:]
    # After the task root and the standard library. As with Lambda's layers no .pth file is read:
    # an editable install of the project must not stand in for code left out of the package.
    sys.path.extend(packages)
    site.setquit()  # python -S leaves exit() and quit() out
    sys.argv = [sys.argv[0], handler]
    from awslambdaric.__main__ import main as run

    try:
        run(sys.argv)  # type: ignore[no-untyped-call]
    except Exception:
        # Not the handler's error, those are reported: the Runtime API is gone, mostly with its
        # server. Leaving now would keep the watch from ending what the handler has started.
        watch.join(SERVER_END_S)
        raise


if __name__ == "__main__":
    main()

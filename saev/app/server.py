"""Serving the laboratory on this machine, and on nothing else."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from saev.app.session import Session
from saev.errors import SaevError

if TYPE_CHECKING:  # an extra
    import uvicorn

HOST = "127.0.0.1"
"""Fixed: whoever reaches the port can write into the study."""


def serve(session: Session, port: int = 0, ready: Callable[[str], None] = print) -> None:
    """Serve until Ctrl-C; `ready` is called with the address once requests are accepted.

    Args:
        port: 0 takes a free one.

    Raises:
        SaevError: the extra is not installed, or the port is taken.
    """
    with listening(port) as listener:
        server = server_of(session, listener)
        ready(f"http://{HOST}:{listener.getsockname()[1]}/")
        with suppress(KeyboardInterrupt):  # how it ends
            server.run(sockets=[listener])


def server_of(session: Session, listener: socket.socket) -> "uvicorn.Server":
    """What answers on this socket. Raises SaevError if the extra is not installed."""
    try:
        import uvicorn

        from saev.app.routes import Lab, application
    except ImportError as error:
        raise SaevError(
            f"the laboratory needs {error.name}; install it with: pip install 'saev[lab]'"
        ) from None
    app = application(Lab(session), listener.getsockname()[1])
    options = {"log_level": "warning", "lifespan": "on", "server_header": False}
    return uvicorn.Server(uvicorn.Config(app, limit_concurrency=256, **options))


def listening(port: int) -> socket.socket:
    """A socket on which this machine alone can connect. Raises SaevError if the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise SaevError(
            f"port {port} of {HOST} cannot be had ({error.strerror}); 0 takes a free one"
        ) from None
    return listener

"""A port for the processes of one run to meet at."""

import socket


def free_port() -> int:
    """A port of this machine that nobody listens on now, so that runs do not collide."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]

"""Which ports are free, and who has those that are not."""

import errno
import socket
from collections.abc import Mapping

import psutil

from config.embedded.processes import StartError


def port_of(env: Mapping[str, str], name: str, default: int) -> int:
    """The port that a variable names. Raises StartError when it isn't one."""
    text = env.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StartError(
            f"{name}={text} is not a port. Type a number, for example: make run {name}={default}"
        )
    return int(text)


def is_free(port: int) -> bool:
    """Whether a server could listen there. Raises StartError where the system doesn't allow it at all."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise StartError(
                f"Port {port} can't be used ({error.strerror}). {_line_to_type(8010)}"
            ) from error
    return True


def check(web: int, sandbox: int | None) -> None:
    """Raise StartError, with who has the port and the line to type, unless the ports are free."""
    if web == sandbox:
        raise StartError(f"PORT and SANDBOX_PORT are both {web}. {_line_to_type(_free_pair_after(web))}")
    taken = [port for port in (web, sandbox) if port is not None and not is_free(port)]
    if taken:
        whose = "\n".join(f"Port {port} is taken by {holder(port)}." for port in taken)
        raise StartError(f"{whose}\n{_line_to_type(_free_pair_after(max(taken)))}")


def holder(port: int) -> str:
    """Who listens on a port, as far as the system tells this user."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
            if listens and connection.pid:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline()[:3])  # no more: arguments may hold secrets
                return f"{process.name()} (process {process.pid}: {command}, in {process.cwd()})"
    except (psutil.Error, OSError):
        pass
    return "another program (the system doesn't say which)"


def _free_pair_after(port: int) -> int:
    """The first port of a free pair, by tens."""
    candidates = range(port - port % 10 + 10, 65000, 10)
    return next((first for first in candidates if is_free(first) and is_free(first + 1)), 8010)


def _line_to_type(first: int) -> str:
    return f"Type: make run PORT={first} SANDBOX_PORT={first + 1}"

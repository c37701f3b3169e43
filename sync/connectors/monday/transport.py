"""What a failed HTTP exchange means: whether the request can have reached Monday or not."""

import ssl
from collections.abc import Iterator
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from sync.connectors.monday.errors import ConnectionLost, MondayError, TimedOut, Unreachable

Failure = requests.RequestException | HTTPError


def transport_error(error: Failure, timeout: float, request_id: str | None = None) -> MondayError:
    """Tell failures before the connection was made, which certainly changed nothing, from all others.

    `request_id` is what the answer's headers told, where they came before it broke off.
    """
    if _never_connected(error):
        return Unreachable(f"No connection to Monday could be made ({_kind(error)})")
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        return TimedOut(f"Monday did not answer within {timeout:g} s", request_id=request_id)
    message = f"The connection to Monday broke before the answer was complete ({_kind(error)})"
    return ConnectionLost(message, request_id=request_id)


def _never_connected(error: Failure) -> bool:
    # The library refuses a malformed URL before it opens a socket; these of its errors are ValueErrors too.
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError | ValueError):
        return True
    before = (NewConnectionError, ConnectTimeoutError, ssl.SSLCertVerificationError)
    return any(isinstance(cause, before) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exceptions inside one: requests wraps urllib3's, which keeps its own in `reason` or `args`."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending += [getattr(cause, "reason", None), cause.__cause__, *cause.args]


def _kind(error: BaseException) -> str:
    """The innermost error's type: its text may hold addresses, its type never does."""
    return type(list(_causes(error))[-1]).__name__

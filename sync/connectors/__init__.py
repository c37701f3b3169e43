"""Connections to other systems: the port in `base`, and one package for each system behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from sync.connectors.base.connector import Connector

MONDAY = "monday"

_override: ContextVar[type[Connector] | None] = ContextVar("connector instead", default=None)


def get(system: str = MONDAY) -> type[Connector]:
    """The connector of a system, by the name that board links and sync states hold; raises KeyError."""
    return _override.get() or _connector(system)


@cache
def _connector(system: str) -> type[Connector]:
    # Here, so that neither the port nor the pure modules load an HTTP library.
    from sync.connectors.monday.monday_connector import MondayConnector

    return {MONDAY: MondayConnector}[system]


@contextmanager
def connector_override(connector: type[Connector]) -> Iterator[None]:
    """Have everything inside talk to another system than Monday, by an adapter that keeps the same port."""
    token = _override.set(connector)
    try:
        yield
    finally:
        _override.reset(token)

"""Connections to other systems: the port in `base`, and one package for each system behind it."""

from functools import cache

from sync.connectors.base.connector import Connector

MONDAY = "monday"


@cache
def get(system: str = MONDAY) -> type[Connector]:
    """The connector of a system, by the name that board links and sync states hold; raises KeyError."""
    # Here, so that neither the port nor the pure modules load an HTTP library.
    from sync.connectors.monday.monday_connector import MondayConnector

    return {MONDAY: MondayConnector}[system]

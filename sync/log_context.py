"""What every log line of a piece of work says of it: the board, and the look by the id that the ledger keeps.

Bound to the context and not to a logger, so that lines of libraries say it too, and nothing is left of it afterwards.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bound_contextvars


@contextmanager
def of_board(entity_type: str) -> Iterator[None]:
    """Lines inside name the board that is worked."""
    with bound_contextvars(board=entity_type):
        yield


@contextmanager
def of_look(entity_type: str) -> Iterator[uuid.UUID]:
    """Lines inside name the board and one look; gives the look's id, which becomes the ledger's sync_batch_id."""
    batch = uuid.uuid4()
    with bound_contextvars(board=entity_type, batch=str(batch)):
        yield batch

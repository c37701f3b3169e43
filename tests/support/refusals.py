"""Expects an error of Monday."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sync.monday.errors import ErrorKind, MondayError


@contextmanager
def refusal(kind: ErrorKind, match: str | None = None) -> Iterator[pytest.ExceptionInfo[MondayError]]:
    with pytest.raises(MondayError, match=match) as caught:
        yield caught
    assert caught.value.kind is kind

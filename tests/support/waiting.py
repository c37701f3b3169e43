"""Waiting for something to become true, instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
LOOK_SECONDS = 0.03


def wait_for(what: str, condition: Callable[[], Found], seconds: float = 20) -> Found:
    """The first truthy answer of `condition`; after `seconds` an AssertionError that names `what`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s; the last answer was {answer!r}")
        time.sleep(LOOK_SECONDS)
    return answer

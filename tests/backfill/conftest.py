"""A backfill in the test's own process: the world of the engine's tests, and waits that move the clock instead."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from npd.models import Contact
from sync import registry
from sync.models import Backfill
from sync.operations.backfill import open_backfill, run_backfill
from sync.operations.backfill.estimate import BackfillEstimate, estimate_backfill
from tests.support.world import World


class Died(BaseException):
    """What stands for kill -9: nothing in the code under test catches it."""


class Import:
    """What a person at the command line does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waited: list[tuple[float, str]] = []

    def wait(self, seconds: float, words: str) -> None:
        """Let the time pass at once, on both clocks."""
        self.waited.append((seconds, words))
        assert len(self.waited) < 500, f"it waits for ever: {self.waited[-1]}"
        self.world.pass_time(seconds=seconds + 0.1)

    def meanwhile(self, does: Callable[[], Any], *, once: bool = True) -> None:
        """Do something in the waits of the import, in the first one or in each."""
        times: list[int] = []

        def wait(seconds: float, words: str) -> None:
            if not (once and times):
                times.append(1)
                does()
            Import.wait(self, seconds, words)

        self.wait = wait  # type: ignore[method-assign]

    def preview(self, entity_type: str = "contact") -> BackfillEstimate:
        return estimate_backfill(registry.entity(entity_type))

    def run(self, entity_type: str = "contact") -> list[Backfill]:
        return run_backfill(self.preview(entity_type), by="tester", wait=self.wait)

    def resume(self, entity_type: str = "contact") -> Backfill:
        from sync.operations.backfill import run_remaining_steps

        backfill = open_backfill(entity_type)
        assert backfill is not None, "no backfill is open"
        return run_remaining_steps(backfill, wait=self.wait)

    def contacts(self, count: int, **values: Any) -> list[Contact]:
        """So many contacts, saved at once."""
        made = Contact.objects.bulk_create(
            Contact(name=f"Person {n}", email=f"person{n}@example.com", phone="+12025550123", notes=f"n{n}", **values)
            for n in range(count)
        )
        return list(made)

    def on_board(self) -> list[str]:
        """The names of the board's active items, each as often as it is there."""
        return sorted(item["name"] for item in self.world.sandbox.items())


@pytest.fixture
def bulk(world: World) -> Iterator[Import]:
    yield Import(world)
    world.sandbox.control("ingest")


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a function end the process at its n-th call, before it does anything or after it has."""

    def at(target: str, *, after: bool = False, times: int = 1) -> None:
        module, name = target.rsplit(".", 1)
        real = getattr(importlib.import_module(module), name)
        left = [times]

        def dying(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Died
            result = real(*args, **kwargs)
            if left[0] == 0:
                raise Died
            return result

        monkeypatch.setattr(target, dying)

    return at


def lease_is_left_behind() -> None:
    """Give every board to a worker that isn't there any more, as after a kill."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sync_board_leases SET token = gen_random_uuid(), expires = sync_now() + interval '60 s'")

"""A kill before a statement that writes or on either side of a call, while others edit: nothing twice or stuck."""

from typing import Any

import pytest
from django.db import connection

from npd.models import Contact
from sync.connectors.monday import bulk_import
from sync.connectors.monday.client import MondayClient
from sync.models import Intent, SyncQueue
from sync.operations.backfill import open_backfill, run_backfill, run_remaining_steps
from tests.backfill.conftest import Died, Import

POINTS = range(4, 70, 8)
"""An import of six records has some seventy of them."""


class Killer:
    """Ends the process at its n-th chance; a dead process does nothing more, not even what it would tidy up."""

    def __init__(self, at: int, patch: pytest.MonkeyPatch) -> None:
        self.left, self.dead = at, False
        self.around(patch, MondayClient, "execute")
        self.around(patch, bulk_import, "upload_file")

    def chance(self) -> None:
        self.left -= 1
        self.dead = self.dead or self.left == 0
        if self.dead:
            raise Died

    def sql(self, execute: Any, sql: str, *rest: Any) -> Any:
        if self.dead or sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            self.chance()
        return execute(sql, *rest)

    def around(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            self.chance()
            answer = real(*args, **kwargs)
            self.chance()
            return answer

        patch.setattr(owner, name, called)


def killed(bulk: Import, at: int, monkeypatch: pytest.MonkeyPatch) -> list[Contact]:
    monkeypatch.setattr("sync.operations.backfill.RECORDS_PER_SETTLE", 3)
    contacts = bulk.contacts(6)
    seen = bulk.preview()

    with monkeypatch.context() as patch:
        killer = Killer(at, patch)
        with pytest.raises(Died), connection.execute_wrapper(killer.sql):
            run_backfill(seen, by="tester", wait=lambda seconds, words: _unharmed(killer, bulk, seconds, words))
    connection.close()
    return contacts


def _unharmed(killer: Killer, bulk: Import, seconds: float, words: str) -> None:
    if killer.dead:
        raise Died
    left, killer.left = killer.left, 0  # moving the clocks is nothing that dies
    bulk.wait(seconds, words)
    killer.left = left


@pytest.mark.parametrize("at", POINTS)
def test_a_kill_anywhere_makes_nothing_twice_and_leaves_nothing_stuck(
    bulk: Import, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    edited, deleted, off, by_hand, *_ = killed(bulk, at, monkeypatch)
    Contact.objects.filter(pk=edited.pk).update(notes="edited")
    Contact.objects.get(pk=deleted.pk).delete()
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    for item in bulk.world.sandbox.items():
        if item["name"] == by_hand.name:
            bulk.world.sandbox.act("edit", item_id=item["id"], column_id="role_title", value="by hand")
    bulk.world.deliver()
    bulk.world.pass_time(seconds=61)
    backfill = open_backfill("contact")
    if backfill is not None and at % 16 == 4:  # a person takes up every second one, the worker the others
        run_remaining_steps(backfill, wait=bulk.wait)
    for _ in range(5):
        bulk.world.work(minutes=4)
    assert open_backfill("contact") is None
    assert not Intent.objects.filter(state="open").exclude(entity_id=off.pk).exists()
    assert not SyncQueue.objects.exclude(status="completed").exists()
    assert len(bulk.on_board()) == len(set(bulk.on_board()))
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced", "disabled"}
    assert bulk.world.values(edited)["notes"] == "edited"
    by_hand.refresh_from_db()
    assert (bulk.world.values(by_hand)["role_title"] or "") == by_hand.role_title

"""A kill before a statement that writes, or on either side of a call, while many records get their items."""

from typing import Any

import pytest
from django.db import connection

from npd.models import Contact
from sync.connectors.monday.client import MondayClient
from sync.models import Intent, SyncQueue
from sync.operations.worker import work
from tests.support.world import World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.hostile]

POINTS = range(1, 40, 4)
"""A pass over twelve new records has some forty of them."""


class Died(BaseException):
    """What stands for kill -9: nothing in the code under test catches it."""


class Killer:
    """Ends the process at its n-th chance; a dead process does nothing more, not even what it would tidy up."""

    def __init__(self, at: int, patch: pytest.MonkeyPatch) -> None:
        self.left, self.dead = at, False
        real = MondayClient.execute

        def called(*args: Any, **kwargs: Any) -> Any:
            self.chance()
            answer = real(*args, **kwargs)
            self.chance()
            return answer

        patch.setattr(MondayClient, "execute", called)

    def chance(self) -> None:
        self.left -= 1
        self.dead = self.dead or self.left == 0
        if self.dead:
            raise Died

    def sql(self, execute: Any, sql: str, *rest: Any) -> Any:
        if self.dead or sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "WITH")):
            self.chance()
        return execute(sql, *rest)


@pytest.mark.parametrize("at", POINTS)
def test_a_worker_killed_anywhere_in_a_first_load_makes_each_item_once_and_leaves_nothing_stuck(
    world: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    Contact.objects.bulk_create(Contact(name=f"Person {n}", email=f"person{n}@example.com") for n in range(12))
    with monkeypatch.context() as patch:
        killer = Killer(at, patch)
        with pytest.raises(Died), connection.execute_wrapper(killer.sql):
            work()
    connection.close()
    edited, deleted, off = Contact.objects.order_by("name")[:3]
    Contact.objects.filter(pk=edited.pk).update(notes="edited")
    deleted.delete()
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    for _ in range(4):
        world.work(minutes=4)
    names = [item["name"] for item in world.sandbox.items()]
    assert len(names) == len(set(names))
    assert set(Contact.objects.values_list("name", flat=True)) - {off.name} <= set(names)
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced", "disabled"}
    assert not Intent.objects.filter(state="open").exclude(entity_id=off.pk).exists()
    assert not SyncQueue.objects.exclude(status="completed").exists()
    assert world.values(edited)["notes"] == "edited"

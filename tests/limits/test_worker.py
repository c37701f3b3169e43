"""The worker under Monday's limits: nothing is refused, no row suffers for it, and a person goes first."""

from typing import Any

import pytest

from npd.models import Contact
from sync.boards import availability
from sync.limits import api_quota, breaker
from sync.models import ApiQuota, BoardLink
from sync.outbox import wakeups
from sync.queue import SyncQueueService, push_record
from sync.state import record_view
from tests.limits.conftest import Planned
from tests.support.world import World


def edit(contact: Contact, title: str) -> None:
    Contact.objects.filter(pk=contact.pk).update(role_title=title)


def spent(**values: Any) -> None:
    with api_quota.lock_quota():
        pass
    ApiQuota.objects.filter(id=1).update(**values)


def test_a_board_without_room_for_a_read_and_a_write_is_passed_over(world: World, monday: Planned) -> None:
    contact = world.linked("Ann", role_title="Boss")
    monday.limits(plan="standard")
    row = ApiQuota.objects.get()
    assert row.points_limit is not None
    spent(points=row.points_limit - 60_000, points_end=row.points_end)
    edit(contact, "Chair")
    calls = world.calls()
    world.work()
    assert world.calls() == calls
    assert (world.row(contact).status, world.row(contact).attempts) == ("pending", 0)
    stats = SyncQueueService().get_queue_stats()
    assert (stats["due"], stats["oldest_due_seconds"]) == (0, 0)
    assert breaker.monday_account().stop is None
    assert world.status(contact) == "pending"
    assert "minute" in record_view.view_of(contact).reason
    world.work(seconds=110)
    assert world.status(contact) == "synced"
    assert monday.refused == 0


def test_what_a_person_clicked_goes_out_of_the_reserve_and_takes_nothing_along(world: World, monday: Planned) -> None:
    clicked, waiting = world.linked("Ann", role_title="Boss"), world.linked("Bob", role_title="Boss")
    monday.limits(plan="standard")
    spent(day_calls=960)
    for contact in (clicked, waiting):
        edit(contact, "Chair")
    world.work()
    assert (world.status(clicked), world.status(waiting)) == ("pending", "pending")
    assert "Today's calls" in availability.of("contact").blocked_reason
    answer = push_record(clicked, "lead")
    assert answer.reason_code == ""
    world.work()
    assert (world.status(clicked), world.status(waiting)) == ("synced", "pending")
    assert (world.row(waiting).status, world.row(waiting).attempts) == ("pending", 0)


def test_without_room_in_the_middle_of_a_look_rows_go_back_without_an_attempt(world: World, monday: Planned) -> None:
    contacts = world.linked_together(4, role_title="Boss")
    monday.limits(plan="standard")
    # Room for the read and the write, but not for the halves of a refused document.
    spent(day_calls=950 - 2)
    BoardLink.objects.filter(entity_type="contact").update(batch_limit=4)  # a full one, which doesn't wait
    world.sandbox.faults({"status": 400, "on": "mutation", "count": 1})
    Contact.objects.update(role_title="Chair")
    world.work()
    assert {world.row(contact).status for contact in contacts} == {"pending"}
    assert {world.row(contact).attempts for contact in contacts} == {0}
    assert breaker.monday_account().stop is None
    world.work(seconds=86_400)
    assert {world.status(contact) for contact in contacts} == {"synced"}
    assert monday.refused == 0


def test_a_document_fits_the_minutes_points(world: World, monday: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    Contact.objects.bulk_create([Contact(name=f"P{number}", role_title="Boss") for number in range(30)])
    world.work()
    world.hear()
    monday.limits(plan="free", points=750_000)
    world.pass_time(seconds=110)
    Contact.objects.update(role_title="Chair")
    sent: list[float] = []
    monkeypatch.setattr(wakeups, "wake_board", lambda board, seconds=0.0: sent.append(seconds))
    world.work()
    assert [seconds for seconds in sent if 30 < seconds < 110], "nobody comes back when the next minute begins"
    assert 10 <= Contact.objects.filter(sync_status="synced").count() < 30
    for _ in range(3):
        world.work(seconds=110)
    assert not Contact.objects.exclude(sync_status="synced").exists()
    assert monday.refused == 0

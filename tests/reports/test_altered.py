"""What Monday changes before it stores it: case, spaces, tags, characters; and the day of a date with a time."""

from datetime import date

import pytest

from sandbox.faults import ALTERATIONS
from sync.limits import breaker
from sync.models import MondayAccount
from sync.monday.connection import AccountInfo
from sync.monday.texts import looks_same
from tests.engine.test_column_types import deal, sales, with_deals
from tests.support.world import World

__all__ = ["sales", "with_deals"]


def altering(world: World, how: str, *columns: str) -> None:
    """Monday stores the texts of these columns so; "name" is the item's name."""
    world.sandbox.control("faults", alters=how, columns=list(columns or ("role_title",)))


LOSSLESS = {
    "folded": "Head  of   sales",
    "small": "Head of SALES",
    "tags dropped": "<b>Head</b> of <br/>sales",
    "tags closed": "<b>Head of sales",
    "invisible dropped": "Head\u200b of sales\ufeff",
}
LOSING = [
    ("cut", "Head of sales"),
    ("tags dropped", "Ann <ann@example.org>"),
    ("tags dropped", "1 < 2 and 3 > 2"),
    ("tags dropped", '<a href="https://x.org">Head</a>'),
    ("accents dropped", "Café"),
]


@pytest.mark.parametrize(("how", "text"), LOSSLESS.items())
def test_what_nothing_is_lost_by_is_synced_with_a_note(world: World, how: str, text: str) -> None:
    ann = world.linked("Ann")
    altering(world, how)
    world.save(ann, role_title=text)
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert world.status(ann) == "synced", world.ledger(ann).note
    assert "Nothing is lost" in world.ledger(ann).altered["role_title"]["reason"]
    assert ann.role_title == text
    assert world.values(ann)["role_title"] == ALTERATIONS[how](text) != text
    page = world.browser(world.administrator("olga")).get(f"/admin/npd/contact/{ann.pk}/change/").content.decode()
    assert "Nothing is lost" in page
    # An edit of either side goes on as ever.
    world.edit(ann, "role_title", "Chair")
    world.hear(ann)
    assert (ann.role_title, world.status(ann), world.ledger(ann).altered) == ("Chair", "synced", {})


@pytest.mark.parametrize(("how", "text"), LOSING)
def test_a_value_that_lost_characters_stays_pending_with_the_reason(world: World, how: str, text: str) -> None:
    ann = world.linked("Ann")
    altering(world, how)
    world.save(ann, role_title=text)
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert world.status(ann) == "pending"
    assert "Change it on either side" in world.ledger(ann).altered["role_title"]["reason"]
    assert ann.role_title == text


def test_a_new_items_name_counts_so_too(world: World) -> None:
    altering(world, "title", "name")
    ann = world.contact("ann lee", email="ann@example.org")
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert (world.values(ann)["name"], ann.name, world.status(ann)) == ("Ann Lee", "ann lee", "synced")


def test_of_a_list_each_element_counts_whatever_their_order() -> None:
    assert looks_same(("ALPHA", "Alpha", "zebra"), ("Zebra", "alpha"))
    assert not looks_same(("Zebra", "alpha"), ("alpha",))
    assert not looks_same(("alpha",), ("Alpha", "Zebra"))
    assert not looks_same(("alpha",), None)


def test_a_reason_names_what_nobody_sees(world: World) -> None:
    ann = world.linked("Ann")
    altering(world, "cut")
    world.save(ann, role_title="Head\u200b of sales")
    assert "“Head[zero width space] of sales”" in world.ledger(ann).altered["role_title"]["reason"]


SEEN = [
    ("Asia/Tokyo", {"date": "2026-01-31", "time": "23:00:00"}, date(2026, 2, 1), "2026-02-02 23:00"),
    ("America/Los_Angeles", {"date": "2026-02-02", "time": "05:00:00"}, date(2026, 2, 1), "2026-02-04 05:00"),
    ("Asia/Kathmandu", {"date": "2026-01-31", "time": "18:30:00"}, date(2026, 2, 1), "2026-02-02 18:30"),
    ("Europe/Berlin", {"date": "2026-03-28", "time": "23:30:00"}, date(2026, 3, 29), "2026-02-02 23:30"),
    ("", {"date": "2026-01-31", "time": "23:00:00"}, date(2026, 1, 31), "2026-02-03 23:00"),
    ("No/Such", {"date": "2026-01-31", "time": "23:00:00"}, date(2026, 1, 31), "2026-02-03 23:00"),
    ("Europe", {"date": "2026-01-31", "time": "23:00:00"}, date(2026, 1, 31), "2026-02-03 23:00"),
    ("Asia/Tokyo", {"date": "2026-01-31"}, date(2026, 1, 31), "2026-02-03"),
]


@pytest.mark.parametrize(("zone", "cell", "day", "sent"), SEEN)
def test_the_day_that_people_see(sales: World, zone: str, cell: dict[str, str], day: date, sent: str) -> None:
    MondayAccount.objects.update_or_create(id=1, defaults={"time_zone": zone})
    record = deal(sales, due=date(2026, 1, 20))
    sales.edit(record, "due", cell)
    sales.hear(record)
    assert (record.due, sales.status(record)) == (day, "synced")
    # Another day in NPD keeps the time that people see.
    record.due = date(2026, 2, 3)
    record.save()
    sales.work()
    assert (sales.values(record)["due"], sales.status(record)) == (sent, "synced")


def test_the_time_zone_is_stored_where_the_token_is_tested(world: World) -> None:
    breaker.store_account_info(AccountInfo(user_id="7", time_zone="Asia/Tokyo"))
    assert MondayAccount.objects.get().time_zone == "Asia/Tokyo"
    breaker.fetch_account_info()
    assert MondayAccount.objects.get().time_zone == "UTC"


@pytest.mark.parametrize(
    "cell", [{"date": "0001-01-01", "time": "01:00:00"}, {"date": "9999-12-31", "time": "23:00:00"}]
)
def test_a_day_at_the_end_of_the_calendar_is_read(sales: World, cell: dict[str, str]) -> None:
    MondayAccount.objects.update_or_create(id=1, defaults={"time_zone": "America/Los_Angeles"})
    record = deal(sales, due=date(2026, 1, 20))
    sales.edit(record, "due", cell)
    sales.hear(record)
    assert record.due in (date.fromisoformat(cell["date"]), date(9999, 12, 31))

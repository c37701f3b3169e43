"""A date with a time is the day that people see: that of the time zone of the token's user."""

from datetime import date

import pytest

from sync.limits import breaker
from sync.models import MondayAccount
from sync.monday.usage import AccountInfo
from tests.engine.test_column_types import deal, sales, with_deals  # noqa: F401
from tests.support.world import World

SEEN = [
    ("Asia/Tokyo", {"date": "2026-01-31", "time": "23:00:00"}, date(2026, 2, 1), "2026-02-02 23:00"),
    ("America/Los_Angeles", {"date": "2026-02-02", "time": "05:00:00"}, date(2026, 2, 1), "2026-02-04 05:00"),
    ("Asia/Kathmandu", {"date": "2026-01-31", "time": "18:30:00"}, date(2026, 2, 1), "2026-02-02 18:30"),
    ("Europe/Berlin", {"date": "2026-03-28", "time": "23:30:00"}, date(2026, 3, 29), "2026-02-02 23:30"),
    ("", {"date": "2026-01-31", "time": "23:00:00"}, date(2026, 1, 31), "2026-02-03 23:00"),
    ("No/Such", {"date": "2026-01-31", "time": "23:00:00"}, date(2026, 1, 31), "2026-02-03 23:00"),
    ("Asia/Tokyo", {"date": "2026-01-31"}, date(2026, 1, 31), "2026-02-03"),
]


@pytest.mark.parametrize(("zone", "cell", "day", "sent"), SEEN)
def test_the_day_that_people_see(sales: World, zone: str, cell: dict[str, str], day: date, sent: str) -> None:  # noqa: F811
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
def test_a_day_at_the_end_of_the_calendar_is_read(sales: World, cell: dict[str, str]) -> None:  # noqa: F811
    MondayAccount.objects.update_or_create(id=1, defaults={"time_zone": "America/Los_Angeles"})
    record = deal(sales, due=date(2026, 1, 20))
    sales.edit(record, "due", cell)
    sales.hear(record)
    assert record.due in (date.fromisoformat(cell["date"]), date(9999, 12, 31))

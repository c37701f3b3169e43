"""Every column type, both ways, with NPD fields of every kind, on a sandbox over HTTP."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.support.deals import Deal, deals
from tests.support.world import World


@pytest.fixture
def with_deals(transactional_db: None) -> Iterator[None]:
    with deals():
        yield


@pytest.fixture
def sales(with_deals: None, world: World) -> World:
    return world


def deal(world: World, **values: Any) -> Deal:
    """A deal in sync, after its own webhooks."""
    record = Deal.objects.create(name="Big one", **values)
    world.work()
    world.hear(record)
    assert record.sync_status == "synced", (world.sync_state(record).blocked_fields, world.sync_state(record).altered)
    return record


FIELDS = [
    # field, value in NPD, as Monday shows it, another value there (as the API writes it), that value in NPD
    ("stage", "Won", "Won", {"label": "Lost"}, "Lost"),
    ("due", date(2026, 1, 31), "2026-01-31", {"date": "2026-02-01"}, date(2026, 2, 1)),
    ("amount", Decimal("1234.50"), "1234.5", "7", Decimal(7)),
    ("won", True, "v", None, False),
    ("products", ["Pump", "Valve"], "Pump, Valve", {"labels": ["Pump", "Pipe"]}, ["Pump", "Pipe"]),
]


def test_a_field_of_every_kind_flows_both_ways_and_is_cleared_both_ways(sales: World) -> None:
    fields = [field for field, *_ in FIELDS]
    ours = {field: here for field, here, *_ in FIELDS}
    shown = {field: shown for field, _, shown, *_ in FIELDS}
    empty = {field: Deal._meta.get_field(field).get_default() for field in fields}  # type: ignore[union-attr]

    def here() -> dict[str, Any]:
        assert sales.status(record) == "synced", sales.sync_state(record).blocked_fields
        return {field: getattr(record, field) for field in fields}

    def there() -> dict[str, Any]:
        return {field: sales.values(record)[field] for field in fields}

    record = deal(sales, **ours)
    assert there() == shown
    for field, _, _, theirs, _ in FIELDS:
        sales.edit(record, field, theirs)
    sales.hear()
    assert here() == {field: taken for field, *_, taken in FIELDS}
    sales.save(record, **ours)
    assert there() == shown
    sales.save(record, **empty)
    assert (here(), set(there().values()) <= {"", None}) == (empty, True)
    sales.save(record, **ours)
    sales.hear()
    for field in fields:
        sales.edit(record, field, None)
    sales.hear(minutes=1)  # so many deliveries for one item make its pass wait
    assert here() == empty

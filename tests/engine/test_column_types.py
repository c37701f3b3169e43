"""Every column type, both ways, on a sandbox over HTTP; with fields of every kind in NPD."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from npd.models import Organization
from sync.clock import sync_now
from sync.limits import breaker
from sync.models import FieldMapping, MondayAccount, SyncQueue
from sync.operations.preview import ChangeKind, plan_sync
from sync.outbox.pauses import pause
from sync.tasks import refresh_quota
from tests.engine.test_relations import add_column, adopt
from tests.support.deals import Deal, deals
from tests.support.world import World


@pytest.fixture
def with_deals(transactional_db: None) -> Iterator[None]:
    with deals():
        yield


@pytest.fixture
def sales(with_deals: None, world: World) -> World:
    """The deals' board too; nobody has learned who the account's people are but this fixture."""
    found = world.sandbox.query("{ users { id name email } }")["data"]["users"]
    people = {user["id"]: {"name": user["name"], "email": user["email"]} for user in found}
    breaker.monday_account()
    MondayAccount.objects.filter(id=1).update(users=people, users_at=sync_now())
    return world


def deal(world: World, **values: Any) -> Deal:
    """A deal that is in sync; its own webhooks have come and gone."""
    made = Deal.objects.create(name="Big one", **values)
    world.work()
    world.hear(made)
    assert made.sync_status == "synced", (world.ledger(made).blocked_fields, world.ledger(made).altered)
    return made


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
        assert sales.status(record) == "synced", sales.ledger(record).blocked_fields
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
    sales.hear()
    assert here() == empty


def test_a_time_that_monday_has_beside_the_date_stays_there(sales: World) -> None:
    record = deal(sales, due=date(2026, 1, 31))
    sales.edit(record, "due", {"date": "2026-02-01", "time": "18:30:00"})
    sales.hear(record)
    assert record.due == date(2026, 2, 1)
    record.due = date(2026, 2, 2)
    record.save()
    sales.work()
    assert sales.values(record)["due"].startswith("2026-02-02 18:30")


def test_somebody_who_joins_the_account_is_learned_within_the_hour_by_itself(sales: World) -> None:
    everybody = breaker.monday_account().users
    newcomer = max(everybody)
    without = {key: user for key, user in everybody.items() if key != newcomer}
    MondayAccount.objects.filter(id=1).update(users=without)
    calls = sales.calls()
    breaker.refresh_users_if_due()
    assert sales.calls() == calls  # nobody waits, and what is known is of today
    here = deal(sales)
    there = Deal.objects.create(name="Another", owner=everybody[newcomer]["email"])
    sales.work()
    sales.edit(here, "owner", {"personsAndTeams": [{"id": newcomer, "kind": "person"}]})
    sales.hear()
    assert "not known" in sales.held(here, "owner")
    refresh_quota()
    sales.work()
    assert (sales.status(there), sales.status(here)) == ("synced", "synced")
    assert sales.values(there)["owner"]
    here.refresh_from_db()
    assert here.owner == everybody[newcomer]["email"]
    sales.pass_time(hours=25)
    calls = sales.calls()
    breaker.refresh_users_if_due()
    assert sales.calls() == calls + 1


# --- aliases and the inventory's address --------------------------------------------------------------------------


def test_a_dry_run_counts_the_tags_that_it_would_make(world: World) -> None:
    add_column(world, "organization", "Aliases", "tags")
    adopt("organization")
    Organization.objects.create(name="Firm", aliases=["Old", "New"])
    board = next(one for one in plan_sync().boards if one.entity_type == "organization")
    assert (board.problem, board.counts[ChangeKind.CREATE]) == ("", 1)
    assert board.cost.calls >= 3  # read, make both tags, create


def test_a_create_whose_new_tags_wait_for_a_pause_costs_no_attempt(world: World) -> None:
    add_column(world, "organization", "Aliases", "tags")
    adopt("organization")
    firm = Organization.objects.create(name="Firm", aliases=["Old"])
    world.meanwhile(lambda: pause("pat", entity_type="organization", direction="to_monday"), after="read")
    world.work()
    row = SyncQueue.objects.get(entity_id=firm.pk)
    assert (row.status, row.attempts) == ("pending", 0)


def test_tags_that_monday_lacks_are_made_once_for_the_whole_batch(world: World) -> None:
    add_column(world, "organization", "Aliases", "tags")
    adopt("organization")
    assert FieldMapping.objects.get(key="aliases").converter == "tags"
    firms = [Organization.objects.create(name=f"Firm {n}", aliases=["Old", f"Tag {n}"]) for n in range(3)]
    before = world.calls()
    world.work()
    assert world.calls() - before == 3  # read, make five tags, create
    assert set(world.values(firms[1])["aliases"].split(", ")) == {"Old", "Tag 1"}
    world.hear()
    assert {world.status(firm) for firm in firms} == {"synced"}
    firms[2].aliases = ["Old"]
    firms[2].save()
    before = world.calls()
    world.work()
    assert world.calls() - before == 2
    tags = breaker.monday_account().tags[world.board_id("organization")]
    before = world.calls()
    world.hear()
    assert world.calls() == before
    new = next(int(key) for key, name in tags.items() if name == "Tag 0")
    world.edit(firms[2], "aliases", {"tag_ids": [new]})
    world.hear()
    firms[2].refresh_from_db()
    assert firms[2].aliases == ["Tag 0"]
    assert world.status(firms[2]) == "synced"


def test_a_tag_that_monday_refuses_holds_its_own_field_alone(world: World) -> None:
    add_column(world, "organization", "Aliases", "tags")
    adopt("organization")
    body = {
        "data": {"t0": None},
        "errors": [{"message": "no", "path": ["t0"], "extensions": {"code": "UserUnauthorizedException"}}],
    }
    world.sandbox.faults({"status": 200, "on": "create_or_get_tag", "count": 1, "body": body})
    firm = Organization.objects.create(name="Acme", aliases=["Bad"], notes="n")
    world.work()
    assert world.values(firm)["notes"] == "n"
    assert "Monday rejected the tag “Bad”" in world.held(firm, "aliases")
    assert world.status(firm) == "pending"


# --- the country of telephone numbers ---------------------------------------------------------------------------

"""Every column type, both ways, on a sandbox over HTTP; with fields of every kind in NPD."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from npd.models import Contact, Organization
from sync import registry
from sync.boards.board_setup import set_up
from sync.clock import sync_now
from sync.limits import breaker, metered_client
from sync.models import FieldMapping, MondayAccount
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


def test_our_own_writes_come_back_as_webhooks_and_cost_no_call(sales: World) -> None:
    record = deal(sales)
    for field, here, *_ in FIELDS:
        setattr(record, field, here)
    record.save()
    sales.work()
    before = sales.calls()
    assert sales.deliver() >= len(FIELDS)
    sales.work()
    assert sales.calls() == before
    assert sales.status(record) == "synced"


def test_an_item_becomes_a_record_with_a_field_of_every_kind(sales: World) -> None:
    values = {
        "stage": {"label": "Won"},
        "due": {"date": "2026-01-31"},
        "amount": "12.5",
        "won": {"checked": "true"},
        "products": {"labels": ["Pump"]},
    }
    sales.sandbox.act("add", board_id=sales.board_id("deal"), name="From Monday", values=values)
    sales.hear(seconds=30)
    made = Deal.objects.get()
    assert (made.stage, made.due, made.amount) == ("Won", date(2026, 1, 31), Decimal("12.5"))
    assert (made.won, made.products) == (True, ["Pump"])
    assert sales.status(made) == "synced"


def test_a_number_that_npd_refuses_is_held_with_the_reason_and_the_others_flow(sales: World) -> None:
    record = deal(sales, amount=Decimal(5), stage="Won")
    sales.edit(record, "amount", "123456789012")
    sales.edit(record, "stage", {"label": "Lost"})
    sales.hear(record)
    assert (record.amount, record.stage) == (Decimal(5), "Lost")
    assert "NPD can't take Monday's value" in sales.held(record, "amount")
    assert sales.status(record) == "pending"


def test_a_time_that_monday_has_beside_the_date_stays_there(sales: World) -> None:
    record = deal(sales, due=date(2026, 1, 31))
    sales.edit(record, "due", {"date": "2026-02-01", "time": "18:30:00"})
    sales.hear(record)
    assert record.due == date(2026, 2, 1)
    record.due = date(2026, 2, 2)
    record.save()
    sales.work()
    assert sales.values(record)["due"].startswith("2026-02-02 18:30")


def test_a_label_that_the_column_lacks_is_made(sales: World) -> None:
    record = deal(sales, stage="Never heard of", products=["Gasket"])
    assert sales.values(record)["stage"] == "Never heard of"
    assert sales.values(record)["products"] == "Gasket"


def test_a_label_that_monday_refuses_is_held_alone(sales: World) -> None:
    record = deal(sales)
    record.stage, record.products = "x" * 30, ["with, comma"]
    record.amount = Decimal(3)
    record.save()
    sales.work()
    assert sales.values(record)["amount"] == "3"
    assert sales.values(record)["stage"] == "x" * 30
    assert sales.values(record)["products"] in ("", None)
    assert sales.held(record, "products")


def test_somebody_who_joins_the_account_is_sent_at_the_next_look(sales: World) -> None:
    everybody = breaker.monday_account().users
    newcomer = max(everybody)
    without = {key: user for key, user in everybody.items() if key != newcomer}
    MondayAccount.objects.filter(id=1).update(users=without)
    record = deal(sales)
    record.owner = everybody[newcomer]["email"]
    record.save()
    sales.work()
    assert "nobody in the Monday account" in sales.held(record, "owner")
    MondayAccount.objects.filter(id=1).update(users=everybody)
    sales.look(record)
    assert sales.values(record)["owner"]
    assert sales.status(record) == "synced"


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


def test_people_are_e_mail_addresses_in_npd(sales: World) -> None:
    known = [str(user["email"]) for user in breaker.monday_account().users.values()]
    record = deal(sales, owner=known[0])
    assert sales.values(record)["owner"]
    ids = {user["email"]: key for key, user in breaker.monday_account().users.items()}
    other = {"personsAndTeams": [{"id": ids[known[1]], "kind": "person"}]}
    sales.edit(record, "owner", other)
    sales.hear(record)
    assert record.owner == known[1]
    record.owner = "stranger@example.com"
    record.save()
    sales.work()
    assert "stranger@example.com" in sales.held(record, "owner")
    record.owner = ""
    record.save()
    sales.work()
    assert sales.values(record)["owner"] in ("", None)
    assert sales.status(record) == "synced"


# --- texts of contacts in columns of other types -----------------------------------------------------------------

TEXTS = [
    ("country", "country", "France", "France", {"countryCode": "DE", "countryName": "Germany"}, "Germany"),
    (
        "location",
        "location",
        "29.97 31.13 Giza",
        "Giza",
        {"lat": "48.85", "lng": "2.35", "address": "Paris"},
        "48.85 2.35 Paris",
    ),
]


@pytest.mark.parametrize(("name", "kind", "here", "shown", "there", "taken"), TEXTS, ids=[t[0] for t in TEXTS])
def test_a_text_lives_in_a_column_of_another_type(
    world: World, name: str, kind: str, here: str, shown: str, there: Any, taken: str
) -> None:
    column = add_column(world, "contact", "Kind", kind)
    FieldMapping.objects.filter(key="role_title").update(converter=name, column_id=column, version=2)
    adopt("contact")
    contact = world.linked(role_title=here)
    assert world.values(contact)[column] == shown
    world.edit(contact, column, there)
    world.hear(contact)
    assert contact.role_title == taken
    assert world.status(contact) == "synced"
    contact.role_title = ""
    contact.save()
    world.work()
    assert world.values(contact)[column] in ("", None)
    assert world.status(contact) == "synced"


# --- aliases and the inventory's address --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "converter", "there"),
    [("text", "list_text", "One, Three"), ("dropdown", "dropdown", {"labels": ["One", "Three"]})],
)
def test_a_list_flows_both_ways_as_a_text_or_as_labels(world: World, kind: str, converter: str, there: Any) -> None:
    add_column(world, "organization", "Aliases", kind)
    adopt("organization")
    assert FieldMapping.objects.get(key="aliases").converter == converter
    firm = Organization.objects.create(name="Acme", aliases=["Two", "One"])
    world.work()
    world.hear()
    assert set(world.values(firm)["aliases"].split(", ")) == {"One", "Two"}
    assert world.status(firm) == "synced"
    world.edit(firm, "aliases", there)
    world.hear(firm)
    assert firm.aliases == ["One", "Three"]
    firm.aliases = []
    firm.save()
    world.work()
    assert world.values(firm)["aliases"] in ("", None)
    assert world.status(firm) == "synced"


def test_the_order_of_a_list_is_nobodys_change(world: World) -> None:
    add_column(world, "organization", "Aliases", "text")
    adopt("organization")
    firm = Organization.objects.create(name="Acme", aliases=["One", "Two"])
    world.work()
    world.hear()
    before = world.calls("mutation")
    firm.aliases = ["Two", "One", "One"]
    firm.save()
    world.work()
    assert world.calls("mutation") == before
    assert world.status(firm) == "synced"


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


def test_a_conflict_of_lists_reads_as_text_and_takes_a_typed_list(world: World) -> None:
    from conflicts.models import SyncConflict
    from tests.engine.test_relations import choose

    add_column(world, "organization", "Aliases", "text")
    adopt("organization")
    firm = Organization.objects.create(name="Acme", aliases=["One"])
    world.work()
    world.hear()
    world.edit(firm, "aliases", "One, Two")
    firm.aliases = ["One", "Three"]
    firm.save()
    world.work()
    conflict = SyncConflict.objects.get(entity_id=firm.pk)
    assert conflict.npd_data == {"aliases": "One, Three"}
    assert conflict.monday_data == {"aliases": "One, Two"}
    choose(conflict, field="aliases", choose="custom", value="One, Two, Three")
    world.work(firm)
    assert sorted(firm.aliases) == ["One", "Three", "Two"]
    assert world.status(firm) == "synced"


def test_a_link_keeps_its_text_and_only_its_address_is_synced(world: World) -> None:
    add_column(world, "organization", "Inventory", "link")
    adopt("organization")
    assert FieldMapping.objects.get(key="inventory_url").converter == "link"
    firm = Organization.objects.create(name="Acme", inventory_url="https://example.com/one")
    world.work()
    world.hear()
    assert world.status(firm) == "synced"
    column = FieldMapping.objects.get(key="inventory_url").column_id
    world.edit(firm, column, {"url": "https://example.com/two", "text": "The list"})
    world.hear(firm)
    assert firm.inventory_url == "https://example.com/two"
    firm.inventory_url = "https://example.com/three"
    firm.save()
    world.work()
    assert world.values(firm)[column] == "The list - https://example.com/three"
    world.edit(firm, column, {"url": "https://example.com/" + "x" * 500, "text": "x"})
    world.hear(firm)
    assert firm.inventory_url == "https://example.com/three"
    assert "NPD can't take Monday's value" in world.held(firm, "inventory_url")


# --- the country of telephone numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "setting", "expected"), [("United Kingdom", "US", "+442079460018"), ("", "GB", "+442079460018")]
)
def test_a_number_without_a_country_is_its_organizations_then_the_settings(
    world: World, settings: Any, country: str, setting: str, expected: str
) -> None:
    settings.DEFAULT_PHONE_REGION = setting
    firm = Organization.objects.create(name="Acme", address_country=country)
    contact = world.linked(phone="020 7946 0018", organization=firm)
    assert world.values(contact)["phone"] == expected


def test_an_organization_that_moves_abroad_changes_no_number_by_that(world: World) -> None:
    firm = Organization.objects.create(name="Acme", address_country="GB")
    contact = world.linked(phone="020 7946 0018", organization=firm)
    before = world.calls("mutation")
    world.save(firm, address_country="DE")
    world.look(contact)
    contact.refresh_from_db()
    assert contact.phone == "020 7946 0018"
    assert world.values(contact)["phone"] == "+442079460018"
    assert not Contact.objects.filter(sync_status="conflict").exists()
    assert world.status(contact) == "synced"
    assert world.calls("mutation") - before == 1  # the organization's address


def test_a_column_of_an_optional_field_that_the_board_lacks_is_not_made(world: World) -> None:
    assert set(FieldMapping.objects.values_list("key", flat=True)) == {
        "name", "email", "phone", "role_title", "notes", "address",
    }  # fmt: skip
    set_up(registry.entity("organization"), metered_client.connector())
    assert not FieldMapping.objects.filter(key="aliases").exists()

"""What a backfill says before it writes anything: the engine's own decisions, and the price."""

from typing import Any

import pytest

from npd.models import Organization
from sync import registry
from sync.models import ApiBudget, UnmatchedItem
from sync.operations.backfill.estimate import BackfillError, estimate_backfill, estimate_lines
from tests.backfill.conftest import Import


def on_the_board(bulk: Import, name: str, entity_type: str = "contact", **values: Any) -> None:
    bulk.world.sandbox.act("add", board_id=bulk.world.board_id(entity_type), name=name, values=values)


def test_records_are_sorted_as_the_engine_would_decide_them(bulk: Import) -> None:
    new = bulk.world.contact("New", email="new@example.com")
    named = bulk.world.contact("Named")
    two_hits = bulk.world.contact("Two", email="two@example.com")
    nameless = bulk.world.contact("  ", email="nameless@example.com")
    second = bulk.world.contact("Second", email="new@example.com")
    on_the_board(bulk, "Other name", npd_id=str(named.pk))
    for name in ("A", "B"):
        on_the_board(bulk, name, email="two@example.com")
    seen = bulk.preview()
    assert seen.create.ids == [new.pk]
    assert seen.link.ids == [named.pk]
    assert (seen.ambiguous.ids, seen.recheck_ids) == ([two_hits.pk, second.pk], [second.pk])
    assert seen.invalid.ids == [nameless.pk]
    assert "name is empty" in seen.invalid.samples[0]
    assert "2 items on the board could be this contact" in seen.ambiguous.samples[0]


def test_items_that_no_record_has_are_noted_when_it_is_meant_and_by_no_preview(bulk: Import) -> None:
    bulk.world.contact("Ann", email="ann@example.com")
    on_the_board(bulk, "Ann on the board", email={"email": "ann@example.com", "text": "work"})
    on_the_board(bulk, "Stranger", email={"email": "stranger@example.com", "text": "work"})
    spec = registry.entity("contact")
    estimate_backfill(spec, is_preview=True)
    assert not UnmatchedItem.objects.exists()
    estimate_backfill(spec)
    assert list(UnmatchedItem.objects.values_list("entity_type", "name")) == [("contact", "Stranger")]


def test_the_match_rule_finds_an_item_by_its_e_mail(bulk: Import) -> None:
    contact = bulk.world.contact("Ann", email="Ann@Example.com")
    on_the_board(bulk, "Ann on the board", email={"email": "Ann@example.COM", "text": "work"})
    seen = bulk.preview()
    assert seen.link.ids == [contact.pk]
    assert "Ann on the board" in seen.link.samples[0]
    bulk.run()
    bulk.world.work(contact)
    assert contact.monday_id
    assert len(bulk.on_board()) == 1


def test_an_item_that_two_records_match_is_promised_to_one(bulk: Import) -> None:
    records = [Organization.objects.create(name="Novus") for _ in range(2)]
    on_the_board(bulk, "Novus", "organization")
    seen = bulk.preview("organization")
    assert (len(seen.link.ids), len(seen.ambiguous.ids)) == (1, 1)
    assert {*seen.link.ids, *seen.ambiguous.ids} == {record.pk for record in records}


def test_records_that_may_not_be_sent_are_not_considered(bulk: Import) -> None:
    bulk.world.contact("Off", sync_enabled=False)
    bulk.world.contact("None", sync_direction="none")
    bulk.world.contact("Down", sync_direction="monday_to_npd")
    bulk.world.linked("Linked", email="linked@example.com")
    assert bulk.preview().record_count == 0


def test_the_price_is_said_as_calls_share_of_the_day_and_minutes(bulk: Import) -> None:
    ApiBudget.objects.update_or_create(id=1, defaults={"day_limit": 1000})
    bulk.contacts(20)
    seen = bulk.preview()
    assert (seen.jobs, seen.cost.calls) == (1, 8)
    assert any("about 8 API calls (0.8% of the day's API quota) and 3 minutes" in line for line in estimate_lines(seen))


def test_a_field_that_is_left_out_is_named_with_its_record(bulk: Import) -> None:
    bulk.world.contact("Ann", notes="x" * 2_500)
    seen = bulk.preview()
    assert len(seen.create.ids) == len(seen.blocked_fields.ids) == 1
    assert "Ann: Notes: notes: 2,500 characters" in seen.blocked_fields.samples[0]


def test_a_board_without_room_for_all_is_told_apart(bulk: Import) -> None:
    bulk.contacts(5)
    bulk.world.sandbox.control("boards", board_id=int(bulk.world.board_id()), items_limit=3)
    seen = bulk.preview()
    assert seen.items_over_limit == 2
    assert any("Nothing will be written." in line for line in estimate_lines(seen))


def test_without_a_board_it_says_what_to_do(bulk: Import, settings: Any) -> None:
    settings.MONDAY_API_KEY = ""
    with pytest.raises(BackfillError, match="enter a token in the set-up"):
        bulk.preview()

"""Items without a record: each way onto their list and off it, the reasons, and what a person does."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sandbox.model import MAYA_ID
from sync import attention
from sync.attention import Kind
from sync.choices import Cause
from sync.choices import UnmatchedReason as Why
from sync.clock import sync_now
from sync.fields.lookups import link_of
from sync.kernel.acts import NotPossible
from sync.kernel.db import run_sql
from sync.models import ActivityLine, BoardLink, FieldMapping, IgnoredItem, SyncQueue, Tombstone, UnmatchedItem
from sync.operations.comparison import compare_board
from sync.operations.dry_run import plan_link
from sync.operations.setup.board_setup import switch_board
from sync.operations.sweep import enqueue_items
from sync.outbox import pauses
from sync.records.item_links import (
    UnmatchedFinding,
    clear_unmatched,
    consider_again,
    delete_obsolete_unmatched,
    exclude_match,
    ignore_item,
    ignore_unmatched,
    note_unmatched,
    relink,
    relist,
    request_creation,
    request_link,
    undo_ignore,
)
from tests.lifecycle.conftest import choose, newcomers
from tests.support.waiting import in_background, somebody_waits, wait_for
from tests.support.world import World, mail


def rows() -> list[tuple[str, str]]:
    return list(UnmatchedItem.objects.filter(ignored_at=None).order_by("id").values_list("name", "reason_code"))


def row(item: str) -> UnmatchedItem:
    return UnmatchedItem.objects.get(item_id=item)


@pytest.fixture
def stranger(world: World) -> str:
    """An item without an email on a board whose items don't become contacts by themselves."""
    BoardLink.objects.update(creates_records=False)
    item = world.add("Somebody met at the fair", role_title="Buyer")
    world.hear(seconds=11)
    world.work(seconds=301)
    assert rows() == [("Somebody met at the fair", Why.NO_KEY)]
    assert row(item).values["role_title"] == "Buyer"
    return item


@pytest.fixture
def listed(transactional_db: None) -> str:
    """An item on the list; its board isn't asked."""
    link = BoardLink.objects.create(entity_type="contact", board_id="1", match_key="email")
    note_unmatched(link, [UnmatchedFinding("70", "Somebody met at the fair", reason=Why.NO_KEY)])
    assert rows() == [("Somebody met at the fair", Why.NO_KEY)]
    return "70"


def contact_link() -> BoardLink:
    link = link_of("contact")
    assert link is not None
    return link


# Ways in, each with its reason.


def test_a_webhook_lists_an_item_at_once_by_its_name(world: World) -> None:
    pauses.pause("dora", entity_type="contact")
    item = world.add("Ann", email=mail("ann@example.com"))
    world.hear()
    assert rows() == [("Ann", Why.QUEUED)]
    assert attention.counts()[Kind.UNMATCHED] == 0
    assert row(item).board_id == contact_link().board_id


def test_a_comparison_lists_what_no_webhook_told_without_a_call_of_its_own(world: World) -> None:
    BoardLink.objects.update(creates_records=False)
    world.add("Old one")
    world.add("Old one with an address", email=mail("old@example.com"))
    compare_board(contact_link())
    assert sorted(rows()) == [("Old one", Why.NO_KEY), ("Old one with an address", Why.CREATION_OFF)]
    # The board's setting excludes them: Home lists them, but nobody has to act.
    assert (attention.waiting(kinds=[Kind.UNMATCHED]).count(), attention.counts()[Kind.UNMATCHED]) == (2, 0)
    assert not SyncQueue.objects.filter(entity_id=None, status="pending").exists()


@pytest.fixture
def no_bob(transactional_db: None) -> Iterator[None]:
    run_sql("ALTER TABLE contacts ADD CONSTRAINT no_bob CHECK (name <> 'Bob')")
    yield
    run_sql("ALTER TABLE contacts DROP CONSTRAINT no_bob")


def test_an_item_whose_record_the_database_rejects_is_listed_and_the_others_become_records(
    world: World, no_bob: None
) -> None:
    for name in ("Ann", "Bob", "Cy"):
        world.add(name, email=mail(f"{name}@x.test"))
    world.hear(seconds=11)
    world.work(seconds=301)
    assert set(Contact.objects.exclude(monday_id=None).values_list("name", flat=True)) == {"Ann", "Cy"}
    assert rows() == [("Bob", Why.DATABASE_REJECTED)]


def test_what_is_dealt_with_is_not_listed(listed: str) -> None:
    """An item of a record, an ignored one, and one whose record was deleted."""
    contact = Contact.objects.create(name="Ann", monday_id="74")
    ignore_item("contact", "71", None, "A person said so.")
    Tombstone.objects.create(entity_type="contact", entity_id=uuid.uuid4(), monday_id="72", state="kept")
    items = [str(contact.monday_id), "71", "72", "73"]
    note_unmatched(contact_link(), [UnmatchedFinding(item) for item in items])
    assert set(UnmatchedItem.objects.values_list("item_id", flat=True)) == {listed, "73"}
    enqueue_items(contact_link(), items, cause=Cause.SWEEP)
    assert "71" not in SyncQueue.objects.values_list("remote_id", flat=True)


# Ways out.


def test_a_record_that_gets_the_item_takes_it_off_the_list_however_it_got_it(listed: str) -> None:
    note_unmatched(contact_link(), [UnmatchedFinding("81"), UnmatchedFinding("82")])
    Contact.objects.filter(pk=Contact.objects.create(name="Bob").pk).update(monday_id=listed)
    Contact.objects.bulk_create([Contact(name="Made with its item", monday_id="81")])
    Organization.objects.create(name="Of another type", monday_id="82")
    assert rows() == []


def test_an_item_that_leaves_the_board_leaves_the_list(world: World, stranger: str) -> None:
    other = world.add("Other")
    world.hear(seconds=11)
    world.sandbox.act("archive", item_id=stranger)
    world.sandbox.act("delete", item_id=other)
    world.hear(seconds=11)
    assert rows() == []


# What a person does.


def ambiguous(world: World) -> str:
    for name in ("One", "Two"):
        world.contact(name, email="ann@example.com")
    SyncQueue.objects.all().delete()
    item = world.add("Ann", email=mail("ann@example.com"), role_title="Buyer")
    world.hear(seconds=11)
    return item


def test_a_contact_is_created_of_an_item_whose_board_creates_none(world: World, stranger: str) -> None:
    assert len(request_creation([row(stranger)], "dora")) == 1
    world.work()
    contact = Contact.objects.get()
    assert (contact.name, contact.role_title, contact.monday_id) == ("Somebody met at the fair", "Buyer", stranger)
    assert (world.status(contact), world.values(contact)["npd_id"]) == ("synced", str(contact.pk))


def test_an_item_is_linked_with_the_contact_that_a_person_chose(world: World, stranger: str) -> None:
    contact = world.contact("Bob", email="bob@example.com")
    SyncQueue.objects.all().delete()
    request_link(row(stranger), contact, "dora")
    world.work(contact)
    assert contact.monday_id == stranger
    assert world.values(contact)["npd_id"] == str(contact.pk)
    assert rows() == []


def test_a_links_preview_says_what_would_change_and_changes_nothing(world: World, stranger: str) -> None:
    contact = world.contact("Bob", email="bob@example.com")
    planned, _problem = plan_link(contact, stranger)
    changes = {(str(change.kind), change.field): change.after for change in planned}
    assert changes["push", "Email"] == "bob@example.com"
    assert changes["pull", "Role"] == "Buyer"
    assert ("conflict", "Name") in changes
    contact.refresh_from_db()
    assert contact.monday_id is None
    assert len(rows()) == 1


def asked_for(item: str) -> list[str]:
    jobs = SyncQueue.objects.filter(remote_id=item, payload__has_key="link_to").order_by("-id")[:1]
    return [job.payload["link_to"] for job in jobs]


def test_what_one_person_asked_of_an_item_no_other_replaces_unsaid(listed: str) -> None:
    ann, bob = Contact.objects.create(name="Ann"), Contact.objects.create(name="Bob")
    request_link(row(listed), ann, "dora")
    with pytest.raises(NotPossible):
        request_link(row(listed), bob, "otto")
    assert request_creation([row(listed)], "otto") == []
    assert asked_for(listed) == [str(ann.pk)]
    request_link(row(listed), bob, "dora")  # her own second thought
    assert asked_for(listed) == [str(bob.pk)]


def test_ignoring_withdraws_what_was_asked_for_and_can_be_undone(listed: str) -> None:
    request_creation([row(listed)], "dora")
    assert ignore_unmatched(UnmatchedItem.objects.all(), "dora") == 1
    assert not SyncQueue.objects.filter(remote_id=listed, status="pending", payload__create=True).exists()
    assert (rows(), IgnoredItem.objects.get().item_id) == ([], listed)
    assert undo_ignore(UnmatchedItem.objects.all(), "dora") == 1
    assert [reason for _, reason in rows()] == [Why.NO_KEY]
    assert not IgnoredItem.objects.exists()


def test_ignoring_an_item_that_fits_two_closes_the_question_and_its_undo_asks_again(world: World) -> None:
    item = ambiguous(world)
    ignore_unmatched(UnmatchedItem.objects.all(), "dora")
    world.work()
    assert not SyncConflict.objects.filter(monday_item_id=item, resolved_at=None).exists()
    # The two have one address: one gets an item, and a person is soon asked about the other.
    assert sorted(Contact.objects.values_list("sync_status", flat=True)) == ["pending", "synced"]
    undo_ignore(UnmatchedItem.objects.all(), "dora")
    assert rows() == [("Ann", Why.AMBIGUOUS)]
    assert "“One” or “Two”" in row(item).reason_sentence
    assert attention.counts()[Kind.UNMATCHED] == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "act",
    [
        lambda: relist("contact", ["2", "1"]),
        lambda: clear_unmatched("contact", ["2", "1"]),
        lambda: delete_obsolete_unmatched(BoardLink(entity_type="contact"), sync_now(), []),
    ],
)
def test_whoever_takes_several_items_takes_them_in_one_order(act: Any) -> None:
    """Ignoring takes the same order; with two orders each would wait for the other."""
    for item in ("2", "1"):
        UnmatchedItem.objects.create(entity_type="contact", item_id=item, reason_code=Why.NO_KEY)

    with transaction.atomic():
        locked = UnmatchedItem.objects.select_for_update(nowait=True)
        assert locked.get(item_id="1")
        other = in_background(transaction.atomic(act))
        wait_for("the other waits", lambda: somebody_waits("= 'transactionid'"))
        # Items after the one that it waits for are not locked.
        assert locked.get(item_id="2")
    other.result(20)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "act",
    [
        lambda: ignore_item("contact", "1", None, "Somebody said so."),
        lambda: exclude_match("contact", "1", Contact.objects.get().pk, "Somebody said so."),
        lambda: ignore_unmatched(UnmatchedItem.objects.all(), "dora"),
        lambda: undo_ignore(UnmatchedItem.objects.all(), "dora"),
        lambda: consider_again(IgnoredItem.objects.all()),
        lambda: relink(Contact.objects.get(), "dora"),
        lambda: switch_board(BoardLink.objects.get(), "2", created=False),
    ],
)
def test_whoever_takes_an_unmatched_and_an_ignored_item_takes_the_unmatched_one_first(act: Any) -> None:
    BoardLink.objects.create(entity_type="contact", board_id="1")
    ignored_at = None if act.__code__.co_names[0] == "ignore_unmatched" else sync_now()
    contact = Contact.objects.create(name="Ann", sync_enabled=False)
    UnmatchedItem.objects.create(entity_type="contact", item_id="1", reason_code=Why.NO_KEY, ignored_at=ignored_at)
    IgnoredItem.objects.create(entity_type="contact", item_id="1", left_alone=True, entity_id=contact.pk)

    with transaction.atomic():
        assert UnmatchedItem.objects.select_for_update(nowait=True).get()
        other = in_background(transaction.atomic(act))
        wait_for("the other waits", lambda: somebody_waits("= 'transactionid'"))
        assert IgnoredItem.objects.select_for_update(nowait=True).get()
    other.result(20)


def test_what_is_found_again_keeps_its_reason_and_takes_its_new_name(listed: str) -> None:
    since = row(listed).first_seen
    note_unmatched(contact_link(), [UnmatchedFinding(listed, "Renamed")])
    assert rows() == [("Renamed", Why.NO_KEY)]
    assert row(listed).first_seen == since


def test_a_name_keeps_text_that_json_writes_like_nul(listed: str) -> None:
    note_unmatched(contact_link(), [UnmatchedFinding("91", "a\\u0000b"), UnmatchedFinding("92", "a\0b")])
    assert (row("91").name, row("92").name) == ("a\\u0000b", "ab")


def test_what_a_person_ignores_stays_ignored_until_a_record_has_it(world: World, stranger: str) -> None:
    ignore_unmatched(UnmatchedItem.objects.all(), "dora")
    note_unmatched(contact_link(), [UnmatchedFinding("123456789", "Deleted while we were away")])
    ignore_unmatched(UnmatchedItem.objects.filter(item_id="123456789"), "dora")
    compare_board(contact_link())
    expected = {stranger, "123456789"}
    assert set(UnmatchedItem.objects.exclude(ignored_at=None).values_list("item_id", flat=True)) == expected
    Contact.objects.filter(pk=world.contact("Bob").pk).update(monday_id=stranger)
    compare_board(contact_link())
    assert list(UnmatchedItem.objects.values_list("item_id", flat=True)) == ["123456789"]


def test_a_check_for_missed_changes_lists_them_in_one_step(listed: str, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(8):
        enqueue_items(contact_link(), [str(n) for n in range(9_000, 9_400)], cause=Cause.SWEEP, names={"9001": "Ann"})
    assert UnmatchedItem.objects.filter(ignored_at=None).count() == 401
    assert (row("9001").name, row("9001").reason_code) == ("Ann", Why.QUEUED)


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_gone_records_npd_id_is_used_again_unless_taken(world: World, stranger: str, is_taken: bool) -> None:
    lost = uuid.uuid4()
    if is_taken:
        Organization.objects.create(id=lost, name="Acme", sync_enabled=False)
    world.sandbox.act("edit", item_id=stranger, column_id="npd_id", value=str(lost))
    request_creation([row(stranger)], "dora")
    world.work(seconds=11)
    assert (Contact.objects.get().pk == lost) is not is_taken


def test_a_listing_that_was_cut_short_takes_nothing_off_the_list(world: World, stranger: str) -> None:
    world.add("Another")
    world.sandbox.act("delete", item_id=stranger)
    world.deliver(times=0)
    world.sandbox.faults({"listing": 0, "on": "items_page"})
    compare_board(contact_link())
    assert row(stranger)
    compare_board(contact_link())
    assert not UnmatchedItem.objects.filter(item_id=stranger).exists()


def test_an_item_that_lacked_a_required_value_becomes_a_record_once_that_is_mended(world: World) -> None:
    item = world.add("Ann", email=mail("ann@example.com"), role_title="x" * 300)
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(required=True)
    newcomers(world)
    assert rows() == [("Ann", Why.INVALID)]
    world.sandbox.act("edit", item_id=item, column_id="role_title", text="Boss")
    newcomers(world)
    assert Contact.objects.get().monday_id == item


# Items that wait for a record, or for an answer about one.


def asked_of_one_way(world: World, items: int, contacts: dict[str, str]) -> list[Contact]:
    """Contacts, by name with their emails, that make no items, one of whom items with Ann's name and email may be."""
    people = [world.contact(name, email=email, sync_direction="monday_to_npd") for name, email in contacts.items()]
    world.work(minutes=1)
    for _ in range(items):
        world.add("Ann", email=mail("ann@example.com"))
    newcomers(world, seconds=11)
    world.hear(rounds=3, minutes=5)
    assert SyncConflict.objects.filter(resolved_at=None).count() == 1
    return people


@pytest.mark.parametrize(
    ("contacts", "items", "change"),
    [
        ({"One": "ann@example.com", "Two": "ann@example.com"}, 1, lambda one, _: one.delete()),
        ({"One": "ann@example.com", "Two": "ann@example.com"}, 1, lambda _, two: two.delete()),
        ({"Ann": ""}, 1, lambda ann: ann.delete()),
        ({"Ann": ""}, 1, lambda ann: Contact.objects.filter(pk=ann.pk).update(name="Bob")),
        ({"Ann": ""}, 1, lambda ann: Contact.objects.filter(pk=ann.pk).update(sync_enabled=False)),
        ({"Ann": "ann@example.com"}, 2, lambda ann: ann.delete()),
        ({"Bo": "ann@example.com"}, 2, lambda bo: Contact.objects.filter(pk=bo.pk).update(email="bo@example.com")),
    ],
)
def test_items_that_were_asked_about_are_decided_about_soon_after_their_question_is_over(
    world: World, contacts: dict[str, str], items: int, change: Any
) -> None:
    change(*asked_of_one_way(world, items, contacts))
    world.hear(rounds=3, minutes=1)
    assert Contact.objects.exclude(monday_id=None).get().sync_status == "synced"
    assert SyncConflict.objects.filter(resolved_at=None).count() == items - 1


@pytest.mark.parametrize(
    ("then", "contacts"), [("leave_alone", 1), ("new_record", 2), ("key", 2), ("renamed", 2), ("nothing", 1)]
)
def test_an_item_with_only_the_name_of_a_synced_contact_is_asked_about_at_once_and_makes_none_meanwhile(
    world: World, then: str, contacts: int
) -> None:
    ann = world.linked("Ann Thomas", email="ann@example.com")
    item = world.add("ANN THOMAS")
    world.add("Stranger")
    newcomers(world, seconds=11)
    assert sorted(rows()) == [("ANN THOMAS", Why.AMBIGUOUS), ("Stranger", Why.NO_KEY_YET)]
    [entry] = attention.entries(attention.waiting(kinds=[Kind.DUPLICATE]))
    assert (entry.entity_id, [act.code for act in entry.acts]) == (ann.pk, ["leave_alone", "new_record"])
    Contact.objects.filter(name="Stranger").delete()
    if then == "key":
        world.sandbox.act("edit", item_id=item, column_id="email", value=mail("thomas@example.com"))
    elif then == "renamed":
        world.save(ann, name="Anne Weber")
    elif then != "nothing":
        choose(SyncConflict.objects.get(resolved_at=None), world.administrator("olga"), then)
    world.hear(ann, rounds=3, minutes=2)
    assert Contact.objects.exclude(name="Stranger").count() == contacts
    assert SyncConflict.objects.filter(resolved_at=None).exists() is (then == "nothing")
    assert world.status(ann) == "synced"


def test_a_contact_made_of_an_item_says_who_added_it_and_who_has_its_name(world: World) -> None:
    world.linked("Richard Hernandez", email="richard@example.com")
    item = world.add("Richard Hernandez", email=mail("other@example.com"))
    newcomers(world, seconds=11)
    made = Contact.objects.get(monday_id=item)
    line = ActivityLine.objects.get(entity_id=made.pk, kind="create")
    assert line.actor == f"Monday user {MAYA_ID}"
    assert "“Richard Hernandez” has this name, too" in line.sentence


@pytest.mark.parametrize("then", ["sync on", "another key", "link", "new_record", "leave_alone"])
def test_whose_an_item_is_stays_asked_and_can_be_answered_while_its_records_sync_is_off(
    world: World, then: str
) -> None:
    contact = world.contact("Ann", email="ann@example.com", sync_enabled=False)
    item = world.add("Ann", email=mail("ann@example.com"))
    newcomers(world, seconds=11)
    world.save(contact, notes="edited")
    question = SyncConflict.objects.get(resolved_at=None)
    if then == "sync on":
        world.save(contact, sync_enabled=True)
    elif then == "another key":
        world.save(contact, email="bo@example.com")
    else:
        choose(question, world.administrator("olga"), then, str(contact.pk) if then == "link" else "")
    world.hear(contact, rounds=2, minutes=1)
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
    assert (contact.monday_id == item) is (then in ("sync on", "link"))
    assert (contact.sync_status == "disabled") is (then != "sync on")
    assert Contact.objects.filter(monday_id=item).exists() is (then != "leave_alone")


@pytest.mark.parametrize("is_unlinked", [False, True])
def test_an_item_with_the_npd_id_of_a_record_whose_sync_is_off_is_its_item_unless_it_was_unlinked(
    world: World, is_unlinked: bool
) -> None:
    contact = world.contact("Ann", email="ann@example.com", sync_enabled=False)
    if is_unlinked:
        ignore_item("contact", "4711", contact.pk, "Somebody unlinked it.")
    item = world.add("Ann A.", npd_id=str(contact.pk), email=mail("ann@example.com"))
    newcomers(world, seconds=11)
    contact.refresh_from_db()
    asked = SyncConflict.objects.filter(resolved_at=None)
    assert (contact.monday_id, asked.count()) == ((None, 1) if is_unlinked else (item, 0))
    if is_unlinked:
        choose(asked.get(), world.administrator("olga"), "link", str(contact.pk))
        world.hear(contact, rounds=2, minutes=1)
    assert (contact.monday_id, contact.name, contact.sync_status) == (item, "Ann", "disabled")
    world.save(contact, sync_enabled=True)
    world.hear(contact, rounds=2, minutes=1)
    assert contact.sync_status == "conflict"  # about the name


def test_a_create_without_an_answer_is_not_sent_again_if_somebody_has_added_that_person_meanwhile(world: World) -> None:
    world.sandbox.control("faults", on="create_item", status=503)
    ann = world.contact("Ann", email="ann@example.com")
    world.work()
    item = world.add("Ann", email=mail("ann@example.com"))
    world.hear(seconds=11)
    world.work(ann)
    world.hear(ann, rounds=3, minutes=2)
    assert (ann.monday_id, ann.sync_status, len(world.sandbox.items())) == (item, "synced", 1)

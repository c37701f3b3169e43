"""Undoing what the sync moved: only if it is unchanged since, through NPD's own field, and repeatedly if need be."""

from collections.abc import Callable
from typing import Any

import pghistory.models
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync import registry
from sync.models import ActivityLine, FieldMapping
from sync.operations.activity_undo import NO_EARLIER_VALUE, plan_undo, undo_lines, undo_order
from tests.admin import states
from tests.admin.test_records import words_of
from tests.engine.test_relations import adopt_column, choose_on_board
from tests.explain.test_causes import last
from tests.files.conftest import imported
from tests.support.deals import SPEC
from tests.support.world import World

MOVED = {"before": "Boss", "after": "Chair", "raw_before": {"role_title": "Boss"}, "raw_after": {"role_title": "Chair"}}


@pytest.fixture
def dora(world: World) -> User:
    return world.administrator("dora", first_name="Dora", last_name="Demo")


@pytest.fixture
def pull(db: None) -> ActivityLine:
    """A pass's record of a pull: a contact's role “Boss” became “Chair” on the board."""
    states.boards()
    return states.decided(states.synced("Ann", "1", role_title="Chair"), "Chair.", key="role_title", values=MOVED)


def test_a_pulled_change_is_taken_back_on_both_sides_and_its_undo_undone(world: World, dora: User) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    world.hear(contact)
    pull = last(contact, "pull")
    result = undo_lines([pull], by=dora)
    assert [(s.label, s.current_text, s.restored_text) for s in result.undone] == [("Role", "Chair", "Boss")]
    contact.refresh_from_db()
    assert contact.role_title == "Boss"
    undo = last(contact, "undo")
    assert (undo.undoes, undo.actor) == (pull.pk, "Dora Demo")
    context = pghistory.models.Context.objects.latest("created_at")
    assert (context.metadata["cause"], context.metadata["user"]) == ("undo", dora.pk)
    world.work()
    assert world.values(contact)["role_title"] == "Boss"
    assert world.status(contact) == "synced"
    assert last(contact, "push").folded  # what was sent is told by the undo
    undo_lines([undo], by=dora)
    world.work()
    assert world.values(contact)["role_title"] == "Chair"
    contact.refresh_from_db()
    assert (contact.role_title, contact.sync_status) == ("Chair", "synced")


def test_a_value_that_a_rule_has_overridden_can_be_taken_back(world: World, dora: User) -> None:
    contact = world.linked(role_title="Boss")
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(rule="npd_wins")
    world.edit(contact, "role_title", "From Monday")
    contact.role_title = "From NPD"
    contact.save()
    world.work()
    assert world.values(contact)["role_title"] == "From NPD"
    (step,) = undo_lines([last(contact, "push")], by=dora).undone
    assert (step.current_text, step.restored_text) == ("From NPD", "From Monday")
    world.work(contact)
    assert contact.role_title == world.values(contact)["role_title"] == "From Monday"


def moved_on(contact: Contact) -> None:
    Contact.objects.filter(pk=contact.pk).update(role_title="President")


def in_conflict(contact: Contact) -> None:
    values = {"entity_id": contact.pk, "monday_item_id": "1", "npd_data": {}, "monday_data": {}}
    SyncConflict.objects.create(entity_type="contact", conflict_fields=["role_title"], **values)


TOO_LONG = MOVED | {"raw_before": {"role_title": "x" * 300}}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("meanwhile", "text"),
    [
        (moved_on, "It was changed since: it says “President” now, not “Chair”, which this line left."),
        (lambda contact: FieldMapping.objects.update(direction="monday_to_npd"), "It comes from Monday only"),
        (in_conflict, "A conflict on it is open. Resolve that instead."),
        (lambda contact: ActivityLine.objects.update(values=TOO_LONG), "NPD doesn't take the earlier value any more:"),
        (Contact.delete, "The record was deleted meanwhile. Restore it first."),
    ],
)
def test_a_late_undo_says_why(
    pull: ActivityLine, admin_user: User, meanwhile: Callable[[Contact], Any], text: str
) -> None:
    meanwhile(Contact.objects.get())
    before = list(Contact.objects.values("role_title"))
    result = undo_lines(ActivityLine.objects.all(), by=admin_user)
    assert not result.undone
    (step,) = result.left_alone
    assert step.refusal.startswith(text)
    assert list(Contact.objects.values("role_title")) == before


@pytest.mark.django_db
def test_where_two_directions_let_nothing_through_only_npd_changes(pull: ActivityLine) -> None:
    FieldMapping.objects.update(direction="monday_to_npd")
    Contact.objects.update(sync_direction="npd_to_monday")
    (step,) = plan_undo([pull])
    assert (step.refusal, bool(step.note)) == ("", True)


def test_what_an_item_was_made_with_has_no_earlier_state(world: World, dora: User) -> None:
    contact = world.linked(role_title="Boss")
    for kind, key in (("push", "role_title"), ("create", "")):
        (step,) = undo_lines([last(contact, kind, key=key)], by=dora).left_alone
        assert step.refusal == NO_EARLIER_VALUE


@pytest.mark.django_db
def test_of_two_moves_of_one_field_the_newest_is_taken_back(pull: ActivityLine, admin_user: User) -> None:
    moved = {"raw_before": {"role_title": "Chair"}, "raw_after": {"role_title": "President"}}
    contact = Contact.objects.get()
    states.decided(contact, "Chair became President.", key="role_title", values=moved)
    moved_on(contact)
    assert len(undo_lines(ActivityLine.objects.all(), by=admin_user).undone) == 1
    contact.refresh_from_db()
    assert contact.role_title == "Chair"


def test_a_relation_is_put_back_whole(world: World, dora: User) -> None:
    adopt_column(world, "board_relation", boardIds=[world.board_id("organization")])
    first, second = (Organization.objects.create(name=name) for name in ("One Ltd", "Two Ltd"))
    world.work()
    contact = world.linked(organization=first)
    choose_on_board(world, contact, second)
    world.run_pass(contact)
    contact.refresh_from_db()
    assert contact.organization == second
    undo_lines([last(contact, "pull", key="organization")], by=dora)
    world.work(contact)
    assert contact.organization == first
    assert (world.values(contact)["organization"], world.status(contact)) == ("One Ltd", "synced")


@pytest.mark.django_db
def test_a_value_that_the_database_refuses_undoes_nothing_and_says_so(pull: ActivityLine, admin_client: Client) -> None:
    states.synced("Ben", "2", role_title="Boss")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("CREATE UNIQUE INDEX only_one_boss ON contacts (role_title)")
    answer = admin_client.post(f"/admin/sync/activityline/{pull.pk}/undo/", {"confirmed": "yes"}, follow=True)
    assert "Nothing was undone: a record can&#x27;t have its former value any more." in answer.content.decode()
    assert admin_client.post(f"/api/v1/sync/activity/{pull.pk}/undo/").status_code == 409
    assert Contact.objects.get(name="Ann").role_title == "Chair"


def test_what_was_edited_at_once_is_one_line_and_taken_back_at_once(world: World, dora: User) -> None:
    browser = world.browser(dora)
    contact, other = world.linked("Ann", role_title="Boss", notes="Old"), world.linked("Ben", notes="Old")
    for record, column, value in ((contact, "role_title", "Chair"), (contact, "notes", "New"), (other, "notes", "New")):
        world.edit(record, column, value)
    world.hear()
    page = browser.get(f"/admin/npd/contact/{contact.pk}/change/")
    act = page.context["activity"]["acts"][0]
    assert ({line.label for line in act.lines}, act.others) == ({"Role", "Notes"}, 1)
    question = browser.get(act.offer.url).content.decode()
    assert all(words in question for words in ("Undo these changes?", "2 values of 1 record go back."))
    answer = browser.post(act.offer.url, {"confirmed": "yes"}, follow=True)
    assert [act.offer.is_undone for act in answer.context["activity"]["acts"][:2]] == [
        False,
        True,
    ]  # the undo itself comes first
    contact.refresh_from_db()
    other.refresh_from_db()
    assert (contact.role_title, contact.notes, other.notes) == ("Boss", "Old", "New")
    assert browser.get("/admin/sync/activityline/1,999999999/undo/").status_code == 404


def offers(browser: Client) -> list[tuple[str, str, str]]:
    """Of each line of the activity: its kind, and the link that takes it back."""
    rows = browser.get("/admin/sync/activityline/").context["cl"].result_list
    return [(row.kind, row.page_offer.label, row.page_offer.url) for row in rows]


def test_what_one_person_edited_on_many_records_is_taken_back_at_once(world: World, dora: User) -> None:
    contacts = world.linked_together(4, role_title="Boss")
    ActivityLine.objects.all().delete()
    for contact in contacts:
        world.edit(contact, "role_title", "Chair")
    world.hear()
    browser = world.browser(dora)
    Contact.objects.filter(pk=contacts[0].pk).update(role_title="President")
    [undo] = [url for kind, _, url in offers(browser) if kind == "pull"]
    question = browser.get(undo).content.decode()
    assert all(words in question for words in ("3 values of 3 records go back", "1 change can&#x27;t be undone"))
    assert browser.post(undo, {"confirmed": "yes"}).headers["Location"] == "/admin/sync/activityline/"
    assert sorted(Contact.objects.values_list("role_title", flat=True)) == ["Boss", "Boss", "Boss", "President"]
    # The one that was changed since is still offered: the question says why it stays.
    assert ("pull", "Undo…", undo) in offers(browser)
    assert "Partly undone" in browser.get("/admin/sync/activityline/").content.decode()
    assert "1 change can&#x27;t be undone" in browser.get(undo).content.decode()
    [redo] = [url for kind, label, url in offers(browser) if (kind, label) == ("undo", "Redo…")]
    browser.post(redo, {"confirmed": "yes"})
    assert ("pull", "Undo…", undo) in offers(browser)


def test_the_undo_of_an_import_is_one_line_whatever_becomes_of_the_items(world: World, dora: User) -> None:
    browser = world.browser(dora)
    people = "".join(f"P{number},p{number}@x.org,Firm {number % 2}\n" for number in range(5))
    imported(browser, f"Name,Email,Company\n{people}", create_missing="on")
    world.work()
    undo = next(url for kind, _, url in offers(browser) if kind == "import")
    question = words_of(browser.get(undo).content.decode())
    assert question.count("If somebody has edited one of them there") == 1
    before = len(offers(browser))
    browser.post(undo, {"confirmed": "yes"})
    world.work()
    assert not Contact.objects.exists()
    assert len(offers(browser)) == before + 1
    kind, label, restore = offers(browser)[0]
    assert (kind, label) == ("undo", "Restore…")
    browser.post(restore, {"confirmed": "yes"})
    assert (Contact.objects.count(), Organization.objects.count()) == (5, 2)
    assert not [label for kind, label, url in offers(browser) if kind == "undo" and url]


def test_records_of_types_that_were_registered_later_go_before_those_that_they_may_point_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(registry._entities, SPEC.entity_type, SPEC)
    assert undo_order({"contact", "deal", "organization", "gone"}) == ["deal", "contact", "organization", "gone"]


def test_an_import_is_one_line_of_the_activity_whatever_it_sends(world: World, browser: Client) -> None:
    ann = world.linked("Ann", email="ann@x.org", role_title="CEO")
    before = ActivityLine.objects.latest("pk").pk
    new = "".join(f"New {number},new{number}@x.org,\n" for number in range(4))
    imported(browser, f"Name,Email,Role\nAnn,ann@x.org,Chair\n{new}")
    world.work()
    assert world.values(ann)["role_title"] == "Chair"
    [line] = ActivityLine.objects.filter(folded=False, pk__gt=before)
    assert (line.kind, line.entity_id) == ("import", None)
    below = browser.get(f"/admin/sync/activityline/?fold_id={line.fold_id}").context["cl"].result_list
    kinds = [row.kind for row in below]
    assert (kinds.count("create"), kinds.count("push")) == (4, 0)


def test_an_import_hides_no_edit_on_monday_that_it_overwrote(world: World, browser: Client) -> None:
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(rule="npd_wins")
    ann = world.linked("Ann", email="ann@x.org", role_title="CEO")
    world.edit(ann, "role_title", "Hers")
    imported(browser, "Name,Email,Role\nAnn,ann@x.org,Chair\n")
    world.work()
    line = ActivityLine.objects.filter(kind="push", entity_id=ann.pk).latest("pk")
    assert (line.values["before"], bool(line.values["overridden"]), line.folded) == ("Hers", True, False)

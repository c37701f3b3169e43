"""Values that Monday refuses: corrected and sent again, replaced by Monday's, or left in NPD."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from conflicts.models import SyncConflict
from conflicts.pages.rejections import answer_rejection, last_answer, undo_answer
from conflicts.pages.resolution import InvalidResolution, NotAsSeen, NotOpen, resolve
from conflicts.reports import FieldSelection
from npd.models import Contact
from sync import attention
from sync.attention import Kind
from sync.choices import Cause
from sync.kernel.acts import NotAllowed
from sync.models import ActivityLine, SyncQueue
from sync.models.records_and_items import FieldRef
from tests.conflicts.conftest import GOOD, REFUSED, rejected_too
from tests.conflicts.test_screen import LIST, text_of
from tests.support.people import staff_who_may
from tests.support.world import World

pytestmark = pytest.mark.django_db
SEEN = {"npd": REFUSED, "monday": GOOD}


def refuse(world: World, name: str = "Ann", good: str = GOOD, bad: str = REFUSED) -> Contact:
    contact = world.linked(name, email=good)
    world.save(contact, email=bad)
    return contact


def choose(contact: Contact, by: User, choose: str, value: str = "", sides: Any = None) -> Any:
    return answer_rejected(contact, by, choose, value, "email", sides or SEEN)


def answer_rejected(contact: Contact, by: User, choose: str, value: str, key: str, sides: Any) -> ActivityLine:
    selections = {key: FieldSelection(choose, value)}
    return answer_rejection(named(contact, key), by=by, selections=selections, seen={key: sides})


def named(contact: Contact, key: str = "email") -> FieldRef:
    return "contact", contact.pk, key


def page_of(contact: Contact, key: str = "email") -> str:
    return f"{LIST}rejected/contact/{contact.pk}/{key}/"


def form(
    choose: str, value: str = "", key: str = "email", sides: dict[str, str | None] | None = None
) -> dict[str, str]:
    values = sides or SEEN
    return {
        f"seen-{key}": json.dumps([values["npd"], values["monday"]]), f"pick-{key}": choose, f"value-{key}": value,
    }  # fmt: skip


def waits() -> list[tuple[str, str]]:
    return [(entry.name, entry.field) for entry in attention.entries(attention.waiting(kinds=[Kind.REJECTED]))]


@pytest.mark.parametrize(
    ("typed", "words"), [("no address", "email"), ("x" * 400 + "@x.com", "characters"), ("\x00", "NUL")]
)
def test_a_correction_must_suit_both_sides(rejected: Contact, ada: User, typed: str, words: str) -> None:
    with pytest.raises(InvalidResolution) as why:
        choose(rejected, ada, "custom", typed)
    assert words in why.value.problems["email"]
    assert Contact.objects.get().email == REFUSED


def test_each_answer_is_carried_out_and_can_be_taken_back(world: World, ada: User) -> None:
    contact = refuse(world)
    for side, value, stored, sent in (
        ("npd", "", REFUSED, GOOD),
        ("monday", "", GOOD, GOOD),
        ("custom", "new@example.com", "new@example.com", "new@example.com"),
    ):
        assert waits() == [("Ann", "email")]
        line = choose(contact, ada, side, value, {"npd": REFUSED, "monday": world.values(contact)["email"]})
        world.work()
        assert (world.status(contact), contact.email, world.values(contact)["email"]) == ("synced", stored, sent)
        assert not waits()
        undo_answer(line, by=ada)
        contact.refresh_from_db()
        assert (contact.email, waits()) == (REFUSED, [("Ann", "email")]), f"{side}: asked again at once"
        writes = world.calls("mutation")
        world.work(contact)
        assert (contact.email, waits(), world.calls("mutation")) == (REFUSED, [("Ann", "email")], writes), side
    assert LogEntry.objects.filter(object_id=str(contact.pk), change_message__contains="which was typed here").exists()


def test_what_changed_since_can_not_be_taken_back_and_says_so(rejected: Contact, ada: User) -> None:
    typed = choose(rejected, ada, "custom", "new@example.com")
    Contact.objects.update(email="third@example.com")
    with pytest.raises(InvalidResolution, match="changed since"):
        undo_answer(typed, by=ada)


def test_a_look_that_was_under_way_does_not_forget_that_a_value_was_left(world: World, ada: User) -> None:
    """The answer comes after the pass has read the sync state, and before it settles."""
    contact = refuse(world)
    world.meanwhile(lambda: choose(contact, ada, "npd"), after="read")
    world.run_pass(contact)
    assert last_answer(named(contact)) is not None
    assert world.status(contact) == "synced"
    assert not waits()


def test_stale_answers_and_answered_values_are_refused(rejected: Contact, ada: User) -> None:
    with pytest.raises(NotAsSeen):
        choose(rejected, ada, "monday", sides={"npd": REFUSED, "monday": "older@example.com"})
    with pytest.raises(InvalidResolution):
        choose(rejected, ada, "")
    choose(rejected, ada, "npd")
    with pytest.raises(NotOpen, match="Ada has left"):
        choose(rejected, ada, "npd")


def test_of_a_rejected_value_that_is_no_more_home_says_that_the_new_one_is_tried(
    rejected: Contact, browser: Client
) -> None:
    Contact.objects.filter(pk=rejected.pk).update(email="new@example.com")
    assert "The next sync tries the new value." in browser.get("/admin/").content.decode()


def test_a_corrected_value_asks_for_the_right_to_change_the_record(rejected: Contact, client: Client) -> None:
    client.force_login(staff_who_may("view_syncconflict", "change_syncconflict"))
    assert 'value="custom"' not in client.get(page_of(rejected)).content.decode()
    refused = client.post(page_of(rejected), form("custom", "ann@example.org"))
    assert (refused.status_code, waits()) == (403, [("Ann", "email")])
    assert client.post(page_of(rejected), form("npd")).status_code == 302


def test_notes_that_are_too_long_wait_among_them_and_are_shortened_or_left(world: World, ada: User) -> None:
    ann, bea = (world.contact(name, notes="x" * 2_500) for name in ("Ann", "Bea"))
    world.work()
    assert sorted(waits()) == [("Ann", "notes"), ("Bea", "notes")]
    sides = {"npd": "x" * 2_500, "monday": None}
    with pytest.raises(InvalidResolution):
        answer_rejected(ann, ada, "custom", "y" * 2_400, "notes", sides)
    answer_rejected(ann, ada, "custom", "short", "notes", sides)
    answer_rejected(bea, ada, "npd", "", "notes", sides)
    world.work()
    assert (world.status(ann), world.values(ann)["notes"]) == ("synced", "short")
    assert (world.status(bea), waits()) == ("synced", [])


def test_of_a_field_in_conflict_the_conflict_asks_and_not_this_list_too(world: World, ada: User) -> None:
    """NPD's value was chosen in a conflict, then Monday refused it."""
    contact = world.linked(email=GOOD)
    world.edit(contact, "email", {"email": "bea@example.com", "text": "bea@example.com"})
    world.save(contact, email=REFUSED)
    conflict = SyncConflict.objects.get()
    sides = {"email": {"npd": REFUSED, "monday": "bea@example.com"}}
    resolve(conflict.pk, by=ada, resolution_type="keep_npd", seen=sides)
    world.work(conflict)
    assert (conflict.is_open, world.status(contact)) == (True, "conflict")
    assert "Monday rejected" in conflict.resolution_problem
    assert not waits()
    with pytest.raises(NotOpen):
        choose(contact, ada, "npd", sides=sides["email"])


def test_records_without_sync_and_deleted_ones_wait_for_nobody(rejected: Contact, ada: User) -> None:
    gone = rejected_too("Gone", "72")
    Contact.objects.filter(pk=rejected.pk).update(sync_enabled=False)
    gone.delete()
    assert not waits()
    with pytest.raises(InvalidResolution, match="Sync is off"):
        choose(rejected, ada, "npd")


def test_the_form_answers_keeps_what_was_typed_and_says_what_is_wrong(rejected: Contact, browser: Client) -> None:
    wrong = browser.post(page_of(rejected), form("custom", "no address"))
    assert wrong.status_code == 400
    assert 'value="no address"' in wrong.content.decode()
    stale = browser.post(page_of(rejected), form("monday", sides={"npd": "older", "monday": GOOD}))
    assert stale.status_code == 409
    assert "Changed since you opened this page. It was: older" in text_of(stale)
    response = browser.post(page_of(rejected), form("custom", "new@example.com"))
    line = last_answer(named(rejected))
    assert line is not None
    assert (response.status_code, response["Location"]) == (302, page_of(rejected))
    status = f"{LIST}chosen/answer:{line.pk}/"
    strip = browser.get(status).content.decode()
    assert ('data-state="settled"' in strip, "hx-get" in strip, " inert" in strip) == (True, False, False)
    browser.post(f"{status}undo/")
    assert Contact.objects.get().email == REFUSED


def test_a_value_that_is_sent_once_more_is_asked_about_again_if_monday_refuses_it(
    world: World, ada: User, client: Client
) -> None:
    contact = refuse(world)
    client.force_login(ada)
    client.post(page_of(contact), form("custom", REFUSED))
    case = client.get(page_of(contact)).context["case"]
    assert (case["is_waiting"], "sent to Monday once more" in case["progress"].sentence) == (False, True)
    world.work()
    page = client.get(page_of(contact))
    assert page.context["case"]["is_waiting"]
    assert "Correct it, and send it again" in text_of(page)


def test_leaving_one_value_sends_no_other_that_monday_refused(rejected: Contact, ada: User) -> None:
    """Only a pass that a person asks for sends them again."""
    choose(rejected, ada, "npd")
    assert not SyncQueue.objects.get().causes & Cause.PERSON


def test_an_undo_does_not_take_away_what_another_person_said_later(rejected: Contact, ada: User) -> None:
    first = choose(rejected, ada, "npd")
    undo_answer(first, by=ada)
    assert last_answer(named(rejected)) is None
    bob = User.objects.create_superuser("bob", "bob@x.test", "x", first_name="Bob")
    choose(rejected, bob, "npd")
    with pytest.raises(InvalidResolution, match="There is nothing to undo"):
        undo_answer(first, by=ada)
    with pytest.raises(NotOpen, match="Bob"):
        choose(rejected, ada, "npd")


def test_to_empty_a_rejected_value_asks_for_the_right_to_change_the_record(world: World, client: Client) -> None:
    contact = world.contact("Ann", notes="x" * 2_500)
    world.work()
    clerk = staff_who_may("view_syncconflict", "change_syncconflict", "view_contact")
    client.force_login(clerk)
    row = client.get("/admin/").content.decode()
    assert ("leave_both rejected:" in row, "keep_monday rejected:" in row) == (True, False)
    sides = {"npd": "x" * 2_500, "monday": None}
    answered = client.post(page_of(contact, "notes"), form("monday", key="notes", sides=sides) | {"confirmed": "yes"})
    assert (answered.status_code, waits()) == (403, [("Ann", "notes")])
    with pytest.raises(NotAllowed):
        answer_rejected(contact, clerk, "monday", "", "notes", sides)
    assert Contact.objects.get().notes == sides["npd"]


def test_a_conflict_about_a_value_that_monday_rejected_says_so_at_its_field(
    world: World, ada: User, client: Client
) -> None:
    contact = refuse(world)
    world.edit(contact, "email", {"email": "bea@example.com", "text": "bea@example.com"})
    world.run_pass(contact)
    world.run_pass(contact)
    client.force_login(ada)
    page = f"{LIST}{SyncConflict.objects.get().pk}/screen/"
    assert "Monday rejected “&quot;odd&quot;@example.com”: email is not valid." in text_of(client.get(page))
    Contact.objects.update(email="carl@example.com")
    assert "Monday rejected" not in text_of(client.get(page))

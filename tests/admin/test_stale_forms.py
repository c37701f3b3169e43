"""Nothing is lost when a record changes while its form is open."""

import html
import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pghistory
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from npd.models import Contact, Organization
from sync.choices import ActivityKind
from sync.models import ActivityLine, SyncQueue
from tests.admin import states
from tests.admin.forms import values_of
from tests.admin.test_records import change_page, words_of

BATCH = uuid.uuid4()  # of a pass


@pytest.fixture
def ann(db: None) -> Contact:
    """A contact that is the same on both sides."""
    states.boards()
    values = {"email": "ann@example.com", "phone": "+44 20 7946 0001", "role_title": "Engineer", "notes": "One\nTwo"}
    return states.synced("Ann", "5001", **values)


def opened(client: Client, record: Any) -> dict[str, str]:
    return values_of(client.get(change_page(record)), f"{record._meta.model_name}_form")


def meanwhile(record: Any, **values: Any) -> None:
    """The sync writes while the form is open."""
    with pghistory.context(cause="sync"), transaction.atomic():
        type(record).objects.filter(pk=record.pk).update(**values)


def save(client: Client, record: Any, form: dict[str, str]) -> Any:
    return client.post(change_page(record), form | {"_save": "Save"})


SAVED = {
    "a field that the sync changed keeps its new value": ({}, {"phone": "+44 20 7946 0002"}, {"role_title": "Head"}),
    "both changed to the same value": ({}, {"phone": "+44 20 7946 0002"}, {"phone": "+44 20 7946 0002"}),
    "an old bad value stops no other": ({"email": "no address", "phone": "keine Ahnung"}, {}, {"role_title": "Head"}),
    "the form in which a browser sends an address is not a change": (
        {"email": "ann@münchen.de"},
        {"email": "ann@example.org"},
        {"email": "ann@xn--mnchen-3ya.de"},
    ),
    "outer white space that a browser drops is not a change": (
        {"role_title": " Engineer ", "notes": "  One\n"},
        {"role_title": "Head"},
        {"role_title": "Engineer"},
    ),
}


@pytest.mark.parametrize("case", SAVED)
def test_what_the_person_changed_is_saved_and_nothing_else(browser: Client, ann: Contact, case: str) -> None:
    before, by_the_sync, typed = SAVED[case]
    meanwhile(ann, **before)
    form = opened(browser, ann)
    meanwhile(ann, **by_the_sync)
    assert save(browser, ann, form | typed).status_code == 302
    ann.refresh_from_db()
    expected = typed | before | by_the_sync
    assert {name: getattr(ann, name) for name in expected} == expected


@pytest.mark.parametrize("typed", ["keine Ahnung", "030 9988776", "4.93012E+11"])
def test_what_is_no_telephone_number_is_an_error_beside_the_field(browser: Client, ann: Contact, typed: str) -> None:
    answer = save(browser, ann, opened(browser, ann) | {"phone": typed, "role_title": "Head"})
    assert set(answer.context["adminform"].form.errors) == {"phone"}
    assert answer.context["original"].phone == "+44 20 7946 0001", "beside it stands what is stored"
    ann.refresh_from_db()
    assert (ann.phone, ann.role_title) == ("+44 20 7946 0001", "Engineer")


def test_a_number_of_the_record_s_country_is_stored_with_that_country(browser: Client, ann: Contact) -> None:
    Organization.objects.create(name="Berliner", address_country="Germany")
    form = opened(browser, ann) | {"phone": "030 9988776", "organization": str(Organization.objects.get().pk)}
    assert save(browser, ann, form).status_code == 302
    ann.refresh_from_db()
    assert ann.phone == "+49 30 9988776"


def test_saving_without_a_change_writes_nothing(browser: Client, ann: Contact) -> None:
    before = ann.updated_at
    form = opened(browser, ann)
    assert form["notes"] == "One\r\nTwo"
    assert save(browser, ann, form).status_code == 302
    ann.refresh_from_db()
    assert ann.updated_at == before
    assert ann.notes == "One\nTwo"
    assert not SyncQueue.objects.filter(entity_id=ann.pk).exists()
    assert "No fields changed" in str(LogEntry.objects.latest("id"))


def test_the_same_field_changed_meanwhile_is_told_and_what_was_typed_stays(browser: Client, ann: Contact) -> None:
    form = opened(browser, ann)
    meanwhile(ann, phone="+44 20 7946 0002")
    answer = save(browser, ann, form | {"phone": "+44 20 7946 0003", "role_title": "Head"})
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "Phone changed meanwhile by NPD Sync, " in text
    assert ": it is now “+44 20 7946 0002”. You typed “+44 20 7946 0003”. Save again" in text
    assert re.search(r'data-npd-take="id_phone"\s+data-value="\+44 20 7946 0002"', text)
    assert "Not saved yet." in text
    assert "correct the error" not in text
    again = values_of(answer, "contact_form")
    assert (again["phone"], again["role_title"]) == ("+44 20 7946 0003", "Head")
    ann.refresh_from_db()
    assert (ann.phone, ann.role_title) == ("+44 20 7946 0002", "Engineer")


EDITORS = {
    "a person of NPD": ({"url": "/admin/"}, "Olga Ops, in the admin, "),
    "a person of Monday, whose value a pass brought": ({"cause": "sync", "batch": str(BATCH)}, "Bea Board on Monday, "),
    "a pass of which no line is left": ({"cause": "sync", "batch": str(uuid.uuid4())}, "NPD Sync, "),
}


@pytest.mark.parametrize("editor", EDITORS)
def test_a_change_of_an_open_form_says_by_whom_and_when(browser: Client, ann: Contact, editor: str) -> None:
    context, who = EDITORS[editor]
    user = User.objects.create(username="olga", first_name="Olga", last_name="Ops")
    on_monday = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
    ActivityLine.objects.create(
        **states.ids_of(ann), key="phone", kind=ActivityKind.PULL, actor="Bea Board on Monday", batch_id=BATCH,
        cause={"monday": {"who": "Bea Board", "at": on_monday.isoformat()}},
    )  # fmt: skip
    form = opened(browser, ann)
    with pghistory.context(user=user.pk, **context), transaction.atomic():
        Contact.objects.filter(pk=ann.pk).update(phone="+44 20 7946 0002")
    when = "21 Nov 2026, 14:05 UTC" if who.startswith("Bea") else ""
    answer = save(browser, ann, form | {"phone": "+44 20 7946 0003"})
    assert f"Phone changed meanwhile by {who}{when}" in answer.content.decode()
    # The open page's own refresh, from which it puts a note below the field.
    fresh = browser.get(change_page(ann), headers={"X-NPD-Live": "1"}).content.decode()
    edits = json.loads(html.unescape(re.findall(r'data-edits="([^"]*)"', fresh)[0]))
    assert edits["phone"].startswith(f"by {who}{when}")


def test_a_second_save_overwrites_what_was_told_and_nothing_newer(browser: Client, ann: Contact) -> None:
    form = opened(browser, ann)
    meanwhile(ann, phone="+44 20 7946 0002")
    second = values_of(save(browser, ann, form | {"phone": ""}), "contact_form")
    meanwhile(ann, phone="+44 20 7946 0004")
    answer = save(browser, ann, second)
    assert "it is now “+44 20 7946 0004”" in answer.content.decode()
    assert save(browser, ann, values_of(answer, "contact_form")).status_code == 302
    ann.refresh_from_db()
    assert ann.phone == ""


def test_a_field_that_comes_back_with_an_error_shows_the_others_as_they_are_now(browser: Client, ann: Contact) -> None:
    form = opened(browser, ann)
    meanwhile(ann, phone="+44 20 7946 0002")
    answer = save(browser, ann, form | {"email": "no email"})
    again = values_of(answer, "contact_form")
    assert "Enter a valid email address" in answer.content.decode()
    assert (again["email"], again["phone"]) == ("no email", "+44 20 7946 0002")


def test_other_names_may_hold_commas_and_are_one_a_line(browser: Client, db: None) -> None:
    firm = Organization.objects.create(name="Example", aliases=["Example, Inc.", "ExCo"])
    form = opened(browser, firm)
    assert form["aliases"] == "Example, Inc.\r\nExCo"
    assert save(browser, firm, form | {"name": "Example Ltd"}).status_code == 302
    firm.refresh_from_db()
    assert (firm.name, firm.aliases) == ("Example Ltd", ["Example, Inc.", "ExCo"])
    form = opened(browser, firm)
    save(browser, firm, form | {"aliases": "Example, Inc.\r\n\r\n  ExCo \r\nNew"})
    firm.refresh_from_db()
    assert firm.aliases == ["Example, Inc.", "ExCo", "New"]


@pytest.mark.parametrize("hidden", [{}, {"_shown": "[" * 100_000}])
def test_a_form_must_say_what_it_showed(browser: Client, ann: Contact, hidden: dict[str, str]) -> None:
    form = opened(browser, ann)
    form = {name: value for name, value in form.items() if name != "_shown"} | hidden
    answer = save(browser, ann, form | {"phone": "+44 20 7946 0003"})
    assert "Nothing was saved" in answer.content.decode()
    again = values_of(answer, "contact_form")
    assert again["phone"] == "+44 20 7946 0003"
    assert save(browser, ann, again).status_code == 302
    ann.refresh_from_db()
    assert ann.phone == "+44 20 7946 0003"


def test_markup_in_a_value_stays_text_in_the_message(browser: Client, ann: Contact) -> None:
    form = opened(browser, ann)
    meanwhile(ann, phone="<img src=x>")
    answer = save(browser, ann, form | {"phone": '"><script>'})
    assert "<img src=x>" not in answer.content.decode()
    assert '"><script>' not in answer.content.decode()
    assert "&lt;img src=x&gt;" in answer.content.decode()


def test_a_record_is_locked_and_only_changed_columns_are_written(browser: Client, ann: Contact) -> None:
    form = opened(browser, ann)
    with CaptureQueriesContext(connection) as queries:
        save(browser, ann, form | {"phone": "+44 20 7946 0003"})
    statements = [query["sql"] for query in queries.captured_queries]
    locked = next(n for n, sql in enumerate(statements) if "FOR NO KEY UPDATE" in sql)
    written = next(n for n, sql in enumerate(statements) if 'UPDATE "contacts" SET' in sql)
    assert locked < written
    columns = statements[written].split("SET")[-1].split("WHERE")[0]
    assert '"phone"' in columns
    assert '"email"' not in columns


def test_the_address_of_a_deleted_record_and_an_open_form_of_it_lead_to_the_list_which_says_who_deleted_it(
    browser: Client, person: Any, ann: Contact
) -> None:
    form = opened(browser, ann)
    browser.post(reverse("admin:npd_contact_delete", args=[ann.pk]), {"post": "yes"})
    browser.get(reverse("admin:npd_contact_changelist"))
    answer = browser.get(change_page(ann), follow=True)
    assert f"“Ann” was deleted in NPD by {person.username}." in words_of(answer.content.decode())
    answer = browser.post(change_page(ann), form | {"role_title": "Head", "_save": "Save"}, follow=True)
    typed = "What you typed was not saved: Role “Head”."
    assert f"“Ann” was deleted in NPD by {person.username}. {typed}" in words_of(answer.content.decode())
    assert not Contact.objects.exists()


def test_an_email_that_another_contact_has_is_asked_about_once(browser: Client, ann: Contact) -> None:
    other = Contact.objects.create(name="Bob", email="bob@example.com")
    add = reverse("admin:npd_contact_add")
    new = values_of(browser.get(add), "contact_form") | {"name": "An", "email": "ANN@example.com"}
    answer = browser.post(add, new)
    assert "This email is already Ann’s . Add anyway" in words_of(answer.content.decode())
    assert change_page(ann) in answer.content.decode()
    assert browser.post(add, values_of(answer, "contact_form") | {"_anyway": "ann@example.com"}).status_code == 302
    assert Contact.objects.filter(name="An").count() == 1
    form = opened(browser, ann)
    answer = save(browser, ann, form | {"email": "bob@example.com", "_anyway": "somebody@example.com"})
    assert "This email is already Bob’s . Save anyway" in words_of(answer.content.decode())
    assert change_page(other) in answer.content.decode()
    assert save(browser, ann, form | {"email": "Ann@example.com"}).status_code == 200, "“An” has it"
    assert save(browser, ann, form | {"role_title": "Head"}).status_code == 302, "an unchanged email is not asked about"

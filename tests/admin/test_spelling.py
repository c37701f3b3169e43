"""A value has one spelling on every page, whichever is stored, and is not written for it."""

from typing import Any

import pghistory
import pytest
from django.test import Client

from npd.models import Contact
from tests.admin import states
from tests.admin.forms import values_of
from tests.admin.test_records import LIST, change_page
from tests.support.people import staff_who_may

STORED = {"phone": "+493012345678", "email": "Ann@Example.ORG"}
SHOWN = {"phone": "+49 30 12345678", "email": "ann@example.org"}


@pytest.fixture
def record(world: dict[str, Any]) -> Contact:
    made = states.synced("Respelled", "6001")
    with pghistory.context(cause="import"):
        Contact.objects.filter(pk=made.pk).update(**STORED)
    return Contact.objects.get(pk=made.pk)


def test_form_table_of_both_sides_activity_and_list_spell_a_value_alike(browser: Client, record: Contact) -> None:
    context = browser.get(change_page(record)).context
    form = context["adminform"].form
    assert {name: form[name].value() for name in SHOWN} == SHOWN
    sides = {side["field"].key: side["field"].local for side in context["sides"]}
    assert {name: sides[name] for name in SHOWN} == SHOWN
    lines = {line.label: line.after for act in context["activity"].acts for line in act.lines if line.label}
    assert {name: lines[name.capitalize()] for name in SHOWN} == SHOWN
    [row] = [one for one in browser.get(LIST).context["cl"].result_list if one.pk == record.pk]
    assert {name: getattr(row, name) for name in SHOWN} == SHOWN


def test_who_may_only_view_a_record_reads_the_same_spelling(client: Client, record: Contact) -> None:
    client.force_login(staff_who_may("view_contact"))
    page = client.get(change_page(record)).content.decode()
    assert [text in page for text in (SHOWN["phone"], STORED["phone"])] == [True, False]


def test_a_save_of_another_field_leaves_the_stored_spelling_and_a_typed_one_is_kept(
    browser: Client, record: Contact
) -> None:
    page = browser.get(change_page(record))
    browser.post(change_page(record), values_of(page, "contact_form") | {"role_title": "Head"})
    record.refresh_from_db()
    assert ({name: getattr(record, name) for name in STORED}, record.role_title) == (STORED, "Head")
    page = browser.get(change_page(record))
    browser.post(change_page(record), values_of(page, "contact_form") | {"phone": "+49 30 999"})
    record.refresh_from_db()
    assert record.phone == "+49 30 999"

"""Rows that may quote a record, as who may list them and not see the record reads them: on list, page, search, API."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from conflicts.database_store import DatabaseConflictStore
from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.kernel.conflict_store import ConflictReport, FieldConflict
from sync.models import ApprovalRequest, Decision, IgnoredItem, Intent, SyncMetadata, SyncQueue
from sync.reconcile.identity import duplicate_question
from tests.admin import states
from tests.admin.forms import values_of
from tests.api.conftest import with_token
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db

QUOTED = "Ann-Sophie’s number"
HIDDEN = "Contact that you may not see"


def job(contact: Contact, **values: Any) -> Model:
    payload = {"name": QUOTED}
    return SyncQueue.objects.create(
        entity_type="contact", entity_id=contact.pk, direction="to_npd", payload=payload, **values
    )


def sync_state(contact: Contact) -> Model:
    held = {"phone": {"reason": QUOTED, "code": "rejected"}}
    conflicts = {"fields": ["phone"], "values": {"phone": {"local": QUOTED}}}
    return SyncMetadata.objects.create(
        entity_type="contact", entity_id=str(contact.pk), last_error=QUOTED, note=QUOTED, blocked_fields=held,
        base={"phone": [QUOTED]}, conflicts=conflicts,
    )  # fmt: skip


def api_write(contact: Contact) -> Model:
    return Intent.objects.create(
        entity_type="contact", entity_id=contact.pk, board_id="1", item_id="2", lease_token=uuid.uuid4(),
        idempotency_key="key", deadline=timezone.now(), values={"phone": QUOTED}, body={"v": QUOTED},
        answer={"v": QUOTED},
    )  # fmt: skip


ROWS: dict[str, Callable[[Contact], Model]] = {
    "failed job": lambda contact: job(contact, status="failed", error_message=QUOTED),
    "waiting job": lambda contact: job(contact, status="pending", reason=QUOTED),
    "sync state": sync_state,
    "API write": api_write,
    "activity": lambda contact: Decision.objects.create(
        entity_type="contact", entity_id=contact.pk, kind="push", key="phone", sentence=QUOTED, values={"after": QUOTED}
    ),
    "ignored item": lambda contact: IgnoredItem.objects.create(
        entity_type="contact", item_id="5", entity_id=contact.pk, reason=QUOTED, unlinked=True
    ),
    "approval": lambda contact: ApprovalRequest.objects.create(
        entity_type="contact",
        entity_id=contact.pk,
        kind="records",
        state="pending",
        label=QUOTED,
        values={"phone": QUOTED},
    ),
}


def reader_of(row: Model, *more: str) -> User:
    """Somebody who may see rows like this one."""
    return staff_who_may(f"view_{row._meta.model_name}", *more, name=f"reader{len(more)}")


@pytest.fixture
def contact(db: None) -> Contact:
    states.boards()
    return Contact.objects.create(name="Ann", monday_id="77")


@pytest.mark.parametrize("what", ROWS)
def test_lists_pages_and_searches_of_the_admin_quote_a_record_to_whoever_may_see_it_alone(
    client: Client, contact: Contact, what: str
) -> None:
    row = ROWS[what](contact)
    address = f"/admin/sync/{row._meta.model_name}/"
    for user, is_told in ((reader_of(row), False), (reader_of(row, "view_contact"), True)):
        client.force_login(user)
        pages = [client.get(address).content.decode(), client.get(f"{address}{row.pk}/change/").content.decode()]
        assert (any(QUOTED in page for page in pages), HIDDEN in "".join(pages)) == (is_told, not is_told)
        if what != "API write":
            assert client.get(address, {"q": "Sophie"}).context["cl"].result_count == int(is_told)
    row.refresh_from_db()
    assert QUOTED in str(vars(row))  # hidden, and not taken away


def test_a_conflict_shows_the_values_in_conflict_alone_to_whoever_may_not_see_the_record(client: Client) -> None:
    states.boards()
    made = states.synced(QUOTED, "71", email="hidden@example.test")
    other = states.contact("Other", email="hidden@example.test")
    save = DatabaseConflictStore().save_reports
    with transaction.atomic():
        save([ConflictReport("contact", made.pk, "71", "fields", [FieldConflict("phone", "+44 1", None, "+44 2")])])
        save([ConflictReport("contact", made.pk, "8", "identity", data=duplicate_question(made, [other], "email"))])
    for user, is_told in ((reader_of(SyncConflict()), False), (reader_of(SyncConflict(), "view_contact"), True)):
        client.force_login(user)
        for one in SyncConflict.objects.all():
            page = re.sub("<wbr>", "", client.get(f"/admin/conflicts/syncconflict/{one.pk}/screen/").content.decode())
            assert ("hidden@example.test" in page, HIDDEN in page) == (is_told, not is_told)
            assert (">Phone<" in page) == (one.kind == "fields")


@pytest.mark.parametrize(
    ("what", "lookup", "wanted"),
    [
        ("failed job", "error_message__icontains", "Sophie"),
        ("sync state", "base__phone__0__startswith", "Ann"),
        ("activity", "values__after__startswith", "Ann"),
        ("API write", "values__phone__startswith", "Ann"),
        ("approval", "label__startswith", "Ann"),
        ("ignored item", "reason__startswith", "Ann"),
    ],
)
def test_no_address_asks_for_rows_by_what_they_may_quote(
    client: Client, contact: Contact, what: str, lookup: str, wanted: str
) -> None:
    row = ROWS[what](contact)
    client.force_login(reader_of(row))
    answer = client.get(f"/admin/sync/{row._meta.model_name}/", {lookup: wanted})
    assert answer.status_code == 400


def test_an_order_tells_nothing_of_what_is_hidden(client: Client, contact: Contact) -> None:
    for label in ("Bert", "Anna"):
        ApprovalRequest.objects.create(
            entity_type="contact", entity_id=uuid.uuid4(), kind="records", state="pending", label=label
        )
    client.force_login(staff_who_may("view_approvalrequest"))
    address = "/admin/sync/approvalrequest/"
    column = client.get(address).context["cl"].list_display.index("about")
    up, down = (client.get(address, {"o": o}).context["cl"].result_list for o in (column, -column))
    assert [row.pk for row in up] == [row.pk for row in down] != []


@pytest.mark.parametrize(("kept", "other"), [("contact", "organization"), ("organization", "contact")])
def test_a_record_names_the_one_it_points_at_to_whoever_may_see_that(
    client: Client, contact: Contact, kept: str, other: str
) -> None:
    organization = Organization.objects.create(name="Quiet Works", billing_contact=contact)
    Contact.objects.update(organization=organization, name="Ann Quiet")
    record, name = (contact, "Quiet Works") if kept == "contact" else (organization, "Ann Quiet")
    record.refresh_from_db()
    listed = f"/admin/npd/{kept}/"
    rights = [f"view_{kept}", f"change_{kept}", f"add_{kept}", "export_lists"]
    relation = "organization" if kept == "contact" else "billing_contact"
    filtered = {f"{relation}__id__exact": str(getattr(record, f"{relation}_id"))}
    for more, is_told in ([], False), ([f"view_{other}"], True):
        user = staff_who_may(*rights, *more, name=f"may{len(more)}")
        client.force_login(user)
        export = b"".join(client.post(f"{listed}export/", {"format": "csv"})).decode()  # type: ignore[arg-type]
        page = client.get(f"{listed}{record.pk}/change/").content.decode()
        assert (name in page, name in export) == (is_told, is_told)
        if kept == "contact":  # the list of organizations names no contact
            assert (name in client.get(listed).content.decode()) is is_told
            assert client.get(listed, {"q": "Works"}).context["cl"].result_count == int(is_told)
            assert with_token(user).get("/api/v1/contacts/", {"search": "Works"}).json()["count"] == int(is_told)
            assert (name in client.get(listed, filtered).content.decode()) is is_told


def test_a_form_without_the_relation_that_its_reader_may_not_see_keeps_it(client: Client, contact: Contact) -> None:
    organization = Organization.objects.create(name="Quiet Works")
    Contact.objects.update(organization=organization)
    client.force_login(staff_who_may("view_contact", "change_contact"))
    page = f"/admin/npd/contact/{contact.pk}/change/"
    client.post(page, {**values_of(client.get(page), "contact_form"), "role_title": "Buyer", "organization": ""})
    contact.refresh_from_db()
    assert (contact.role_title, contact.organization) == ("Buyer", organization)

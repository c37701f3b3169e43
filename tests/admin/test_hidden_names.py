"""No door names a record to somebody who may see all but such records: every list and page, search, API, mail."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conflicts.database_store import DatabaseConflictStore
from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.kernel.conflict_store import ConflictReport, FieldConflict, Option
from sync.models import (
    ApprovalRequest,
    BoardLink,
    Decision,
    IgnoredItem,
    Intent,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    Verification,
    WebhookEvent,
)
from sync.operations import attention, notifications
from sync.operations.notifications import letters
from sync.reconcile.identity import duplicate_question
from tests.admin import states
from tests.api.conftest import with_token

pytestmark = pytest.mark.django_db
HIDDEN = "Zyxel & Co Quiet"
"""The name that nobody may read, of an organization, or of a contact."""
PLAIN = "Zyxel"
"""What of it stands in HTML and JSON alike."""


def told_of(entity_type: str, record: Contact | Organization, key: str) -> None:
    """Rows of every kind about a record whose field names the hidden one, or that bears the name itself."""
    about = {"entity_type": entity_type, "entity_id": record.pk}
    # Of a record itself all is hidden that is said, of one that points at it what stands in quotation marks.
    said = f"{HIDDEN} is no name." if key == "name" else f"It waits for “{HIDDEN}”."
    local = {key: HIDDEN if key == "name" else {"id": str(uuid.uuid4()), "item": "71", "name": HIDDEN}}
    base = {"local": local, "remote": HIDDEN, "column": key, "version": 1, "item": record.monday_id}
    # The one is rejected by Monday, the other blocked by NPD.
    side = "monday" if entity_type == "contact" else "npd"
    blocked = {key: {"reason": said, "code": "relation", "side": side, "local": local}}
    SyncMetadata.objects.update_or_create(
        entity_type=entity_type, entity_id=str(record.pk), defaults={"last_error": said, "note": said,
        "blocked_fields": blocked, "base": {key: base}, "sync_status": "failed", "last_sync_attempt": timezone.now()},
    )  # fmt: skip
    for status in ("failed", "pending", "completed"):
        SyncQueue.objects.create(**about, direction="to_npd", payload={key: HIDDEN}, status=status, error_message=said)
    values = {"before": HIDDEN, "after": None}
    Decision.objects.create(**about, kind="pull", key=key, sentence=f"Updated: “{HIDDEN}”.", values=values)
    Decision.objects.create(**about, kind="conflict_over", sentence=f"It closed, for “{HIDDEN}”.")
    Intent.objects.create(
        **about, board_id="9001", item_id=record.monday_id, lease_token=uuid.uuid4(), idempotency_key=str(record.pk),
        deadline=timezone.now(), values={key: {"local": HIDDEN}}, body={"column": HIDDEN}, answer={"column": HIDDEN},
    )  # fmt: skip
    label = {"label": "Organization", "value": HIDDEN}
    ApprovalRequest.objects.create(
        **about, kind="clear_monday", key=key, state="pending", label=f"Organization “{HIDDEN}”", values=label
    )
    IgnoredItem.objects.create(**about, item_id=f"{record.monday_id}1", reason=said)
    UnmatchedItem.objects.create(
        entity_type=entity_type, item_id=f"{record.monday_id}2", name=HIDDEN if key == "name" else "Plain",
        values={key: HIDDEN}, reason_code="invalid",
    )  # fmt: skip
    SyncQueue.objects.create(entity_type=entity_type, remote_id=f"{record.monday_id}2", direction="to_npd", payload={})
    data = {"name": HIDDEN} if key == "name" else {}
    Tombstone.objects.create(entity_type=entity_type, entity_id=uuid.uuid4(), monday_id="70", data=data)
    differing = [{"field": one, "words": said} for one in ((key, "notes") if key == "name" else (key,))]
    found = {"record": str(record.pk), "name": str(record), "fields": differing}
    Verification.objects.create(entity_type=entity_type, compared=3, differed=1, details=[found])
    link = BoardLink.objects.get(entity_type=entity_type)
    body = {"event": {"pulseName": HIDDEN if key == "name" else "Plain", "value": {"value": HIDDEN}}}
    WebhookEvent.objects.create(
        board_id=link.board_id,
        item_id=record.monday_id,
        type="update_column_value",
        trigger_id=str(record.pk),
        body=body,
    )
    other = FieldConflict(key, HIDDEN, HIDDEN, "Other")
    options = {"what": f"“{HIDDEN}” needs it.", "options": [Option("npd", "Create it", f"For “{HIDDEN}”.").to_json()]}
    with transaction.atomic():
        DatabaseConflictStore().save_reports(
            [
                ConflictReport(entity_type, record.pk, record.monday_id or "", "fields", [other]),
                ConflictReport(entity_type, record.pk, record.monday_id or "", "delete", [other], data=options),
            ]
        )


@pytest.fixture
def hidden(db: None) -> Organization:
    """An organization of the name, with a contact that points at it; rows of every kind are about both."""
    states.boards()
    organization = Organization.objects.create(name=HIDDEN, monday_id="71", sync_status="pending")
    contact = Contact.objects.create(name="Ann", monday_id="72", organization=organization)
    told_of("organization", organization, "name")
    told_of("contact", contact, "organization")
    other = Organization.objects.create(name=f"{HIDDEN} 2", monday_id="73")
    question = duplicate_question(organization, [other], "name")
    with transaction.atomic():
        DatabaseConflictStore().save_reports(
            [ConflictReport("organization", organization.pk, "74", "identity", data=question)]
        )
    return organization


def reader(*without: str) -> User:
    """Who may do everything, but with records of these types nothing."""
    user = User.objects.create_user("reader", "r@example.test", "long-enough-1", is_staff=True)
    rights = Permission.objects.filter(content_type__app_label__in=("npd", "sync", "conflicts", "sync_exports"))
    user.user_permissions.set(rights.exclude(codename__regex=f"({'|'.join(without)})$") if without else rights)
    return user


def pages() -> Iterator[str]:
    """Every list, and of every row its page; what else names rows."""
    for model in admin.site._registry:
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{stem}_changelist")
        for key in model._default_manager.values_list("pk", flat=True)[:12]:
            yield reverse(f"{stem}_change", args=[key])
    for conflict in SyncConflict.objects.all():
        yield reverse("admin:conflicts_syncconflict_screen", args=[conflict.pk])
        yield reverse("admin:conflicts_syncconflict_status", args=[conflict.pk])
    yield from ("/admin/", "/admin/inbox/", f"/admin/search/?s={PLAIN}", "/admin/sync/syncmetadata/report/")
    yield from (f"/admin/inbox/?kind={kind.value}" for kind in attention.AttentionKind)
    yield from (f"/admin/inbox/entry/?key={key}" for key in attention.keys())  # noqa: SIM118 - a function
    yield from (f"/admin/conflicts/syncconflict/?kind__exact={kind}" for kind in ("identity", "delete"))
    for stem in ("npd/contact", "sync/syncqueue", "conflicts/syncconflict", "sync/decision"):
        yield f"/admin/{stem}/export/"
    for number in SyncMetadata.objects.filter(entity_type="contact").values_list("entity_id", flat=True):
        yield f"/admin/conflicts/syncconflict/rejected/contact/{number}/organization/"


LISTS = ("contacts", "organizations", "sync/conflicts", "sync/queue", "sync/states", "sync/stats", "events")


def leaks(client: Client, user: User) -> list[str]:
    """The doors that print the name."""
    client.force_login(user)
    api, found = with_token(user), []
    for address in pages():
        if address.endswith("/export/"):
            answer = client.post(address, {"format": "csv"})
            text = b"".join(answer).decode() if answer.status_code == 200 else ""  # type: ignore[arg-type]
        else:
            text = client.get(address).content.decode()
        # What a search asked for stands in its own field.
        if HIDDEN.split(" & ")[1] in text.replace("<wbr>", ""):
            found.append(address)
    details = [f"contacts/{pk}/sync" for pk in Contact.objects.values_list("pk", flat=True)]
    details += [f"sync/conflicts/{pk}" for pk in SyncConflict.objects.values_list("pk", flat=True)]
    answers = {name: api.get(f"/api/v1/{name}/").content.decode() for name in (*LISTS, *details)}
    found += [f"API {name}" for name, text in answers.items() if PLAIN in text]
    for conflict in SyncConflict.objects.exclude(kind="identity"):
        for seen in ({"organization": {"npd": "x", "monday": "y"}}, {"name": {"npd": "x", "monday": "y"}}, {}):
            body = {"resolution_type": "keep_npd", "seen": seen}
            answer = api.post(f"/api/v1/sync/conflicts/{conflict.pk}/resolve", body, format="json")
            if PLAIN in answer.content.decode():
                found.append(f"resolve {conflict.entity_type} {conflict.kind}")
    for entity_type in ("contact", "organization"):
        asked = {"of": f"approve approval:{entity_type}:clear_monday", "back": "/admin/inbox/"}
        if PLAIN in client.post("/admin/inbox/act/", asked, follow=True).content.decode():
            found.append(f"question about an approval of {entity_type}")
    letter = notifications.preview(user)
    if letter and PLAIN in f"{letters.email_html(letter)}{letters.email_text(letter)}":
        found.append("mail")
    return found


@pytest.mark.parametrize("without", [("organization",), ("organization", "contact")], ids=" and ".join)
def test_no_door_names_a_record_to_whoever_may_not_see_such_records(
    client: Client, hidden: Organization, without: tuple[str, ...]
) -> None:
    found = leaks(client, reader(*without))
    assert not found, "\n".join(found)


DOORS = (
    *("/npd/organization/", "/conflicts/", "/inbox/", "?kind=blocked", "/search/", "/report/", "/export/", "mail"),
    *(f"/sync/{one}/" for one in ("syncqueue", "decision", "syncmetadata", "verification", "tombstone")),
    *(f"API {one}" for one in ("contacts", "sync/conflicts", "sync/queue", "sync/states", "sync/stats")),
    *("question about an approval of contact", "question about an approval of organization"),
)


def test_every_door_names_it_to_whoever_may(client: Client, hidden: Organization) -> None:
    told = leaks(client, reader())
    assert [one for one in DOORS if not any(one in door for door in told)] == [], told

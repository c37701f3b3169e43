"""However much a screen tells, it asks the database no more than sixteen times."""

from __future__ import annotations

from typing import Any

import pghistory
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.models import SyncMetadata
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, record
from tests.conflicts.test_about_record import AGAIN, gone, who
from tests.conflicts.test_screen import form, screen

pytestmark = pytest.mark.django_db
MOST = 17
RAW = {"local": {"phone": "1"}, "remote": "2", "base": None}


def asked(client: Client, url: str) -> list[str]:
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return [query["sql"] for query in queries.captured_queries]


def opened(client: Client, contact: Contact, kind: str) -> SyncConflict:
    about = {"gone": gone(contact, ROLE, options=[AGAIN]), "identity": who(contact)}
    record(about.get(kind) or finding(contact, PHONE, ROLE))
    conflict = conflict_of(contact)
    if kind in ("applying", "settled"):
        client.post(screen(conflict), form(PHONE, ROLE, pick__phone="monday", pick__role_title="npd"))
    if kind == "settled":
        applied = {"phone": PHONE.monday, "role_title": ROLE.npd}
        record(finding(contact, applied=applied, inverse={"phone": {"before": RAW, "after": RAW}}))
    return conflict


@pytest.mark.parametrize("kind", ["fields", "applying", "settled", "gone", "identity"])
def test_a_screen_with_all_that_it_can_tell_asks_at_most_seventeen_times(
    client: Client, ada: User, kind: str, settings: Any
) -> None:
    settings.MONDAY_API_KEY = "a-key"
    states.boards()
    client.force_login(ada)
    contact = Contact.objects.create(
        name="Grace", monday_id="71", organization=Organization.objects.create(name="Navy")
    )
    with pghistory.context(user=ada.pk):
        Contact.objects.filter(pk=contact.pk).update(phone=PHONE.npd, role_title=ROLE.npd)
    agreed = states.agreed(contact, "71")
    base = {key: agreed[key] for key in ("name", "email", "notes")}
    SyncMetadata.objects.create(
        entity_type="contact", entity_id=str(contact.pk), base=base, blocked_fields={}, altered={}
    )
    other = Contact.objects.create(name="Before", monday_id="72")
    record(finding(other, PHONE))
    record(finding(Contact.objects.create(name="After", monday_id="73"), PHONE))
    conflict = opened(client, contact, kind)
    queries = asked(client, f"{screen(conflict)}?after={conflict_of(other).pk}")
    assert len(queries) <= MOST, "\n".join(queries)

"""docs/howto/follow-changes.md as it stands: the newsletter's copy of the contacts."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient, RequestsClient
from standardwebhooks import Webhook

from npd.models import Contact
from sync.models import ApiToken, FeedEvent, Tombstone
from sync.records.tombstones import restore_by_person

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/follow-changes.md"
SECRET = "whsec_" + "A" * 43 + "="


@pytest.fixture
def newsletter(db: None) -> dict[str, Any]:
    """The page's examples, as a user that may do no more than the page says."""
    user = User.objects.create_user("newsletter", "", "long-enough-1")
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_contact", "change_contact"]))
    source = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for example, here in (
        *(("https://npd.example/", "http://testserver/"), ("newsletter.db", ":memory:")),
        ("whsec_…", SECRET),
    ):
        assert example in source
        source = source.replace(example, here)
    found: dict[str, Any] = {}
    exec(source, found)  # the page's own text
    found["npd"] = RequestsClient()
    token = ApiToken.objects.issue(user, "newsletter", scopes=["read", "write"])[1]
    found["npd"].headers["Authorization"] = f"Bearer {token}"
    return found


def copy(newsletter: dict[str, Any]) -> set[tuple[str, str, str]]:
    return set(newsletter["store"].execute("SELECT id, name, email FROM readers"))


def contacts() -> set[tuple[str, str, str]]:
    return {(str(pk), name, email) for pk, name, email in Contact.objects.values_list("pk", "name", "email")}


def test_the_copy_is_npds_list_after_changes_deletions_and_an_erasure(
    newsletter: dict[str, Any], api: APIClient
) -> None:
    people = Contact.objects.bulk_create(Contact(name=f"Person {n}", email=f"p{n}@example.test") for n in range(5))
    newsletter["read_all"]()
    assert copy(newsletter) == contacts()
    Contact.objects.filter(pk=people[0].pk).update(email="new@example.test", notes="met")
    Contact.objects.filter(pk=people[1].pk).delete()
    Contact.objects.create(name="Zoë")
    for erased in (people[2], Contact.objects.create(name="Came And Went", email="short@example.test")):
        erased.delete()
    newsletter["follow"]()
    assert copy(newsletter) == contacts()
    restore_by_person(Tombstone.objects.get(entity_type="contact", data__name="Person 1"), "ada")
    newsletter["follow"]()
    assert copy(newsletter) == contacts()
    assert (str(people[1].pk), "Person 1", "p1@example.test") in contacts()
    FeedEvent.objects.all().delete()
    Contact.objects.create(name="After")
    newsletter["follow"]()
    assert copy(newsletter) == contacts()


def test_an_unsubscribe_is_written_once_and_overwrites_nobody(newsletter: dict[str, Any]) -> None:
    contact = Contact.objects.create(name="Ada", notes="Met in May")
    for _ in range(2):
        newsletter["unsubscribe"](str(contact.pk))
    contact.refresh_from_db()
    assert contact.notes == "Met in May\nNo newsletter."
    contact.delete()
    newsletter["unsubscribe"](str(contact.pk))
    assert not Contact.objects.exists()


def test_only_a_webhook_that_is_signed_wakes_it(newsletter: dict[str, Any]) -> None:
    body, now = json.dumps({"type": "ping", "data": {"endpoint": "…"}}), datetime.now(UTC)
    headers = {"Webhook-Id": "1", "Webhook-Timestamp": str(int(now.timestamp()))}
    assert newsletter["receive"](body, headers | {"Webhook-Signature": "v1,AAAA"}) == 401
    assert not newsletter["wake"].is_set()
    assert newsletter["receive"](body, headers | {"Webhook-Signature": Webhook(SECRET).sign("1", now, body)}) == 204
    assert newsletter["wake"].is_set()

"""The history on a record's page, and where the id of Monday's request stands."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pghistory
from django.test import Client

from npd.models import Contact
from sync.models import Decision
from sync.models.state import fold_alike
from tests.admin import states
from tests.admin.test_records import LIST, change_page, words_of


def test_a_pull_stands_once_in_the_history(browser_of_person: Client, world: dict[str, Any]) -> None:
    record, look, other = world["synced"], uuid.uuid4(), uuid.uuid4()
    for batch, phone in ((look, "+46 7"), (other, "+46 8")):
        with pghistory.context(cause="sync", batch=str(batch)):
            Contact.objects.filter(pk=record.pk).update(phone=phone)
    states.decided(record, "Phone “+46 7” taken over from Monday.", batch_id=look)
    page = words_of(browser_of_person.get(change_page(record)).content.decode())
    assert page.count("Phone “+46 7” taken over from Monday.") == 1
    assert "to “+46 7”" not in page
    assert "NPD Sync changed phone from “+46 7” to “+46 8”" in page  # of this look no decision tells


def test_a_value_from_monday_is_told_with_its_editor_there(browser_of_person: Client, world: dict[str, Any]) -> None:
    record, batch = world["synced"], uuid.uuid4()
    with pghistory.context(cause="sync", batch=str(batch)):
        Contact.objects.filter(pk=record.pk).update(phone="+46 7")
    states.decided(record, "x", batch_id=batch, key="phone", cause={"monday": {"who": "Maya Lind"}})
    found = browser_of_person.get(f"/admin/live/?record=contact:{record.pk}&changed=name,phone").json()
    assert (found["on_monday"], found["authors"]["phone"].split(",")[0]) == (["phone"], "Maya Lind")


def test_the_id_of_mondays_request_stands_on_the_records_page_alone(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    trace = "[Monday request 4f-1]"
    record = states.waiting("Traced", f"Monday answered 500. {trace}")
    states.dead("Dead and traced", f"Monday refused it. {trace}")
    lists = (LIST, "/admin/", "/admin/sync/syncqueue/", "/admin/sync/syncmetadata/")
    for url in lists:
        assert trace not in browser_of_person.get(url).content.decode(), url
    page = browser_of_person.get(change_page(record)).content.decode()
    assert f'Monday answered 500. <small class="npd-trace">{trace}</small>' in page


def test_what_a_batch_did_alike_with_many_records_is_one_line_of_the_activity(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    batch, record = uuid.uuid4(), world["synced"]
    alike = [
        Decision(entity_type="contact", entity_id=record.pk, kind="link", sentence=f"Linked {n}.", batch_id=batch)
        for n in range(8)
    ]
    few = [Decision(entity_type="contact", kind="create", sentence=f"Made {n}.", batch_id=batch) for n in range(2)]
    Decision.objects.bulk_create(fold_alike([*alike, *few]))

    def listed(query: str) -> str:
        return words_of(browser_of_person.get(f"/admin/sync/decision/{query}").content.decode())

    whole = listed("")
    assert re.findall(r"(?:Linked|Made) \d", whole) == ["Made 1", "Made 0", "Linked 7"]
    assert "Today" in whole
    assert "And 7 more records like it" in whole
    page = browser_of_person.get("/admin/sync/decision/").content.decode()
    within = re.search(r'href="(\?batch_id__in=[^"]+)"', page)
    assert within is not None
    for query in (within[1].replace("&amp;", "&"), "?q=Linked"):
        assert listed(query).count("Linked ") == 8, query


def test_the_batches_of_one_import_are_one_line_of_the_activity(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    for batch in (uuid.uuid4(), uuid.uuid4(), uuid.uuid4()):
        entry = {"entity_type": "contact", "entity_id": world["synced"].pk, "kind": "link", "batch_id": batch}
        Decision.objects.bulk_create(fold_alike([Decision(sentence="Linked.", **entry) for _ in range(8)]))
    page = browser_of_person.get("/admin/sync/decision/").content.decode()
    assert words_of(page).count("Linked.") == 1
    assert "And 23 more records like it" in words_of(page)
    within = re.search(r'href="(\?batch_id__in=[^"]+)"', page)
    assert within is not None
    inside = browser_of_person.get(f"/admin/sync/decision/{within[1].replace('&amp;', '&')}").content.decode()
    assert (words_of(inside).count("Linked."), "more records like it" in inside) == (24, False)

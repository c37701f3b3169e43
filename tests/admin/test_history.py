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
from tests.support.people import staff_who_may


def test_a_pull_stands_once_in_the_history(browser_of_person: Client, world: dict[str, Any]) -> None:
    record, look, other = world["synced"], uuid.uuid4(), uuid.uuid4()
    for batch, phone in ((look, "+46 7"), (other, "+46 8")):
        with pghistory.context(cause="sync", batch=str(batch)):
            Contact.objects.filter(pk=record.pk).update(phone=phone)
    states.decided(record, "Phone “+46 7” taken over from Monday.", batch_id=look)
    page = words_of(browser_of_person.get(change_page(record)).content.decode())
    assert page.count("Phone “+46 7” taken over from Monday.") == 1
    assert "to “+46 7”" not in page
    assert "Phone : “ +46 7 ” → “ +46 8 ” NPD Sync," in page  # of this look no decision tells


def test_a_value_from_monday_is_told_with_its_editor_there(browser_of_person: Client, world: dict[str, Any]) -> None:
    record, batch = world["synced"], uuid.uuid4()
    with pghistory.context(cause="sync", batch=str(batch)):
        Contact.objects.filter(pk=record.pk).update(phone="+46 7")
    states.decided(record, "x", batch_id=batch, key="phone", cause={"monday": {"who": "Maya Lind"}})
    found = browser_of_person.get(f"/admin/live/?record=contact:{record.pk}&changed=name,phone").json()
    assert (found["on_monday"], found["authors"]["phone"].split(",")[0]) == (["phone"], "Maya Lind")


def test_the_id_of_mondays_request_stands_on_the_records_page_for_administrators_alone(
    browser_of_person: Client, client: Client, world: dict[str, Any]
) -> None:
    trace = "[Monday request 4f-1]"
    record = states.waiting("Traced", f"Monday answered 500. {trace}")
    states.dead("Dead and traced", f"Monday refused it. {trace}")
    lists = (LIST, "/admin/", "/admin/sync/syncqueue/", "/admin/sync/syncmetadata/")
    for url in lists:
        assert trace not in browser_of_person.get(url).content.decode(), url
    page = browser_of_person.get(change_page(record)).content.decode()
    assert page.count(trace) == 1
    assert trace in page.split('id="npd-technical-state"')[1].split("</details>")[0]
    client.force_login(staff_who_may("view_contact"))
    page = client.get(change_page(record)).content.decode()
    assert ("Monday answered 500." in page, trace in page) == (True, False)


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


# One line a change, of every field or of one


def lines_of(client: Client, record: Any, field: str = "") -> list[tuple[str, str, str, str]]:
    found = client.get(f"{change_page(record)}?activity={field}").context["activity"].lines
    return [(line.label or line.what, line.before, line.after, line.actor) for line in found]


def test_each_field_that_a_save_changed_is_a_line_of_its_own(browser_of_person: Client, world: dict[str, Any]) -> None:
    record = world["synced"]
    Decision.objects.all().delete()
    with pghistory.context(cause="import"):
        Contact.objects.filter(pk=record.pk).update(phone="+46 7", organization=None, sync_direction="none")
    assert set(lines_of(browser_of_person, record)[:3]) == {
        ("Phone", "+46 8 123 45", "+46 7", "import"),
        ("Organization", "Example Ltd", "", "import"),
        ("Direction", "Both ways", "No sync", "import"),
    }


def test_the_changes_of_one_field_are_found_however_many_of_others_came_after(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    record = world["synced"]
    states.decided(record, "x", "Maya Lind", key="phone", values={"before": "+46 7", "after": "+46 8"})
    Contact.objects.filter(pk=record.pk).update(phone="+46 7", notes="With it")
    for number in range(60):
        Contact.objects.filter(pk=record.pk).update(role_title=f"Role {number}")
    everything = lines_of(browser_of_person, record)
    assert len(everything) == 50
    assert ("Phone", "+46 8 123 45", "+46 7", "a script") not in everything
    phone = [("Phone", "+46 7", "+46 8", "Maya Lind"), ("Phone", "+46 8 123 45", "+46 7", "a script")]
    assert sorted(lines_of(browser_of_person, record, "phone")) == sorted(phone)
    assert lines_of(browser_of_person, record, "email") == []
    assert "“Email” has not changed yet." in words_of(
        browser_of_person.get(f"{change_page(record)}?activity=email").content.decode()
    )
    assert lines_of(browser_of_person, record, "no-such-field") == everything

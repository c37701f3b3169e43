"""Another system polls for the records that changed since a time."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from npd.models import Contact, Organization
from sync.clock import readers_mark, sync_now
from sync.kernel.db import run_sql
from sync.models import Tombstone
from sync.records.tombstones import restore_by_person
from tests.api.conftest import code_of
from tests.support.waiting import in_background

CONTACTS, ORGANIZATIONS = "/api/v1/contacts/", "/api/v1/organizations/"


def names_since(api: APIClient, moment: Any, address: str = CONTACTS, **query: Any) -> list[str]:
    answer = api.get(address, {"updated_since": moment.isoformat(), **query})
    return [record["name"] for record in answer.json()["results"]]


@pytest.mark.parametrize(("model", "address"), [(Contact, CONTACTS), (Organization, ORGANIZATIONS)])
def test_records_that_changed_at_that_moment_or_later_are_listed(api: APIClient, model: Any, address: str) -> None:
    first, second = (model.objects.create(name=name) for name in ("First", "Second"))
    second.refresh_from_db()
    assert names_since(api, second.updated_at, address) == ["Second"]
    assert names_since(api, second.updated_at + timedelta(microseconds=1), address) == []
    model.objects.filter(pk=first.pk).update(notes="changed past the page")
    assert names_since(api, second.updated_at, address) == ["First", "Second"]


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ({"sync_status": "synced", "monday_last_synced": timezone.now()}, []),
        ({"monday_id": "4711", "sync_status": "synced"}, ["Grace"]),
        ({"monday_id": None}, ["Grace"]),
    ],
)
def test_of_the_syncs_bookkeeping_only_another_item_is_a_change(
    api: APIClient, written: dict[str, Any], listed: list[str]
) -> None:
    contact = Contact.objects.create(name="Grace", monday_id="12")
    contact.refresh_from_db()
    Contact.objects.update(**written)
    assert names_since(api, contact.updated_at + timedelta(microseconds=1)) == listed
    unchanged_since = Contact.objects.get().updated_at
    assert unchanged_since == contact.updated_at
    Contact.objects.update(**written)
    assert names_since(api, timezone.now()) == []


def test_a_restored_record_changed_when_it_was_restored(api: APIClient) -> None:
    contact = Contact.objects.create(name="Grace")
    key = contact.pk
    contact.delete()
    tombstone = Tombstone.objects.get(entity_id=key)
    assert names_since(api, tombstone.deleted_at) == []
    restore_by_person(tombstone, "ada")
    assert names_since(api, tombstone.deleted_at) == ["Grace"]


@pytest.mark.parametrize("by_cursor", [False, True])
@pytest.mark.django_db(transaction=True)
def test_a_reader_that_sends_the_mark_misses_nothing_and_reads_nothing_for_ever(
    api: APIClient, by_cursor: bool
) -> None:
    query = {"page_size": 1, **({"pagination": "cursor"} if by_cursor else {})}
    kept = Contact.objects.create(name="Kept")
    stored, go_on = threading.Event(), threading.Event()

    def import_slowly() -> None:
        with transaction.atomic():
            Contact.objects.bulk_create([Contact(name="New")])
            Contact.objects.filter(pk=kept.pk).update(notes="changed")
            stored.set()
            go_on.wait(30)

    def read(mark: str | None) -> tuple[list[str], str]:
        names, marks = [], set()
        answer = api.get(CONTACTS, {**query, **({"updated_since": mark} if mark else {})})
        while True:
            page = answer.json()
            assert answer.headers["X-Mark"] == page["mark"]
            names += [record["name"] for record in page["results"]]
            marks.add(page["mark"])
            if not page["next"]:
                return names, marks.pop() if len(marks) == 1 else "several"
            answer = api.get(page["next"])

    importing = in_background(import_slowly)
    stored.wait(30)
    Contact.objects.create(name="Other")
    names, mark = read(None)
    assert sorted(names) == ["Kept", "Other"]
    go_on.set()
    importing.result(30)
    names, mark = read(mark)
    assert sorted(names) == ["Kept", "New", "Other"]
    assert read(mark)[0] == []


@pytest.mark.django_db(transaction=True)
def test_the_mark_waits_for_a_writer_of_another_role_too() -> None:
    """PostgreSQL hides from a role when other roles' transactions began."""
    stored, go_on = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            Contact.objects.create(name="New")
            stored.set()
            go_on.wait(30)

    def mark_of_another_role() -> Any:
        with transaction.atomic():
            run_sql("CREATE ROLE npd_test_reader")
            run_sql("SET LOCAL ROLE npd_test_reader")
            mark = readers_mark()
            transaction.set_rollback(True)
            return mark

    before = sync_now()
    assert mark_of_another_role() > before
    writing = in_background(write_slowly)
    stored.wait(30)
    mark = mark_of_another_role()
    go_on.set()
    writing.result(30)
    assert mark <= Contact.objects.get().updated_at
    assert mark_of_another_role() > before


def test_an_offset_that_the_standard_has_and_postgresql_does_not_is_no_failure_of_ours(api: APIClient) -> None:
    answer = api.get(CONTACTS, {"updated_since": "2026-01-01T22:44:31-21:27"})
    assert (answer.status_code, code_of(answer)) == (400, "out_of_range")

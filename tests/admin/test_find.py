"""Ctrl+K finds what this person may see, by name, email or number, as it is now."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from npd.models import Contact
from sync.models import SyncQueue
from tests.admin import states
from tests.admin.test_records import words_of

pytestmark = pytest.mark.django_db
NOTHING = "No record, conflict, job or board is called"


def found(client: Client, term: str) -> str:
    answer = client.get("/admin/search/", {"s": term, "extended": "1"})
    assert answer.status_code == 200
    return answer.content.decode()


def links(html: str) -> set[str]:
    return {link.split("?")[0] for link in re.findall(r'href="(/admin/[^"]+/change/)', html)}


def test_records_and_what_is_about_them_are_found_by_name_e_mail_and_number(
    browser_of_person: Client, world: dict[str, Any]
) -> None:
    record, conflict = states.conflicting("Ann Example", "5088")
    Contact.objects.filter(pk=record.pk).update(email="ann.example@npd.example")
    both = {f"/admin/npd/contact/{record.pk}/change/", f"/admin/conflicts/syncconflict/{conflict.pk}/change/"}
    for term in ("Ann Example", "ann.example@npd", "5088"):
        assert both <= links(found(browser_of_person, term)), term


def test_jobs_are_found_by_their_number_and_by_their_record(browser_of_person: Client, world: dict[str, Any]) -> None:
    job = SyncQueue.objects.get(entity_id=world["dead"].pk, status="failed")
    for term in (str(job.pk), f"#{job.pk}", "Petra Keller", "petra"):
        assert f"/admin/sync/syncqueue/{job.pk}/change/" in links(found(browser_of_person, term)), term
    assert f"Job #{job.pk}" in words_of(found(browser_of_person, f"#{job.pk}"))


def test_boards_are_found_by_their_number(browser_of_person: Client) -> None:
    link = states.boards()["contact"]
    assert f"/admin/sync/boardlink/{link.pk}/change/" in links(found(browser_of_person, link.board_id))


def test_it_says_when_it_finds_nothing(browser_of_person: Client, world: dict[str, Any]) -> None:
    for term in ("zzzz", "9" * 40, "%", "#", "<b>x</b>"):
        html = found(browser_of_person, term)
        assert NOTHING in words_of(html) or links(html), term
        assert ("#nothing-found" in html) == (NOTHING in words_of(html))  # then npd.css hides the count of results
    assert "<b>x</b>" not in found(browser_of_person, "<b>x</b>")


def test_what_is_gone_or_not_allowed_any_more_is_not_found_again(client: Client, world: dict[str, Any]) -> None:
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_contact"))
    client.force_login(reader)
    address = f"/admin/npd/contact/{world['synced'].pk}/change/"
    assert links(found(client, "Zoë")) == {address}
    reader.user_permissions.clear()
    assert not links(found(client, "Zoë"))
    reader.user_permissions.add(Permission.objects.get(codename="view_contact"))
    assert links(found(client, "Zoë")) == {address}
    Contact.objects.filter(pk=world["synced"].pk).delete()
    assert NOTHING in words_of(found(client, "Zoë"))

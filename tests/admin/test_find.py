"""Ctrl+K finds what this person may see, by name, email or number, as it is now."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from npd.models import Contact, Organization
from sync.clock import SyncNow
from sync.models import SyncQueue
from tests.admin import states
from tests.admin.test_records import words_of
from tests.support.people import staff_who_may
from tests.support.rows import queries_of

pytestmark = pytest.mark.django_db
NOTHING = "Nothing is found for"


def found(client: Client, term: str) -> str:
    answer = client.get("/admin/search/", {"s": term})
    assert answer.status_code == 200
    return answer.content.decode()


def links(html: str) -> set[str]:
    return {link.split("?")[0] for link in re.findall(r'href="(/admin/[^"]+/change/)', html)}


def test_records_and_what_is_about_them_are_found_by_name_e_mail_and_number(
    browser: Client, world: dict[str, Any]
) -> None:
    record, conflict = states.conflicting("Ann Example", "5088")
    Contact.objects.filter(pk=record.pk).update(email="ann.example@npd.example", phone="+442079460386")
    both = {f"/admin/npd/contact/{record.pk}/change/", f"/admin/conflicts/syncconflict/{conflict.pk}/change/"}
    for term in ("Ann Example", "ann.example@npd", "5088"):
        assert both <= links(found(browser, term)), term
    assert "Item 5088 on Monday" in words_of(found(browser, "508"))
    assert "+44 20 7946 0386" in words_of(found(browser, "+44207946"))  # as its record's page writes it


def test_jobs_are_found_by_their_number_and_by_their_record(browser: Client, world: dict[str, Any]) -> None:
    job = SyncQueue.objects.get(entity_id=world["dead"].pk, status="failed")
    for term in (str(job.pk), f"#{job.pk}", "Petra Keller", "petra"):
        assert f"/admin/sync/syncqueue/{job.pk}/change/" in links(found(browser, term)), term
    assert f"Job #{job.pk}" in words_of(found(browser, f"#{job.pk}"))
    assert f"#{job.pk}" not in words_of(found(browser, "Petra Keller"))
    SyncQueue.objects.filter(pk=job.pk).update(status="pending")
    assert "Jobs" not in titles(browser, "Petra Keller")
    assert "Petra Keller" in titles(browser, f"#{job.pk}")["Jobs"]


def test_a_record_says_which_of_its_fields_holds_what_was_typed(browser: Client) -> None:
    organization = Organization.objects.create(name="Autohaus Müller")
    states.contact("Ann", email="ann@example.test", organization=organization)
    states.contact("Bob Mueller", email="bob@example.test", role_title="Müllerin")
    words = words_of(found(browser, "muller"))
    assert ("Organization: Autohaus Müller" in words, "Müllerin" in words) == (True, True)
    assert "ann@example.test" not in words


def test_a_conflict_that_is_settled_is_not_found_as_one(browser: Client) -> None:
    record, conflict = states.conflicting("Danuta Example", "5089")
    page = f"/admin/conflicts/syncconflict/{conflict.pk}/change/"
    assert page in links(found(browser, "Danuta"))
    type(conflict).objects.filter(pk=conflict.pk).update(resolved_at=SyncNow())
    assert page not in links(found(browser, "Danuta"))
    assert f"/admin/npd/contact/{record.pk}/change/" in links(found(browser, "Danuta"))


def test_boards_are_found_by_their_number(browser: Client) -> None:
    link = states.boards()["contact"]
    assert f"/admin/sync/boardlink/{link.pk}/change/" in links(found(browser, link.board_id))


def test_it_says_when_it_finds_nothing_and_what_was_searched(browser: Client, world: dict[str, Any]) -> None:
    for term in ("zzzz", "9" * 40, "%", "#", "<b>x</b>", "(", "\\"):
        html = found(browser, term)
        assert NOTHING in words_of(html) or links(html), term
    assert "Searched: names, email addresses" in words_of(found(browser, "zzzz"))
    assert "<b>x</b>" not in found(browser, "<b>x</b>")
    assert titles(browser, "zzzz", "http://[") == {}


def titles(client: Client, term: str, page: str = "/admin/") -> dict[str, list[str]]:
    """What is found by group, in its order."""
    groups = client.get("/admin/search/", {"s": term, "from": page}).context["groups"]
    return {group.title: [hit.title for hit in group.hits] for group in groups}


def test_the_word_itself_comes_first_then_its_beginnings_then_what_holds_it(browser: Client) -> None:
    for number in range(12):
        states.contact(f"Adams {number:02}")
    for name in ("Abel Ada", "Nevada Smith", "Zoe Ada", "Abel Adaline", "ADA Lovelace"):
        states.contact(name)
    states.contact("Bo", email="ada@npd.example")
    contacts = titles(browser, "ada")["Contacts"]
    assert contacts[:5] == ["ADA Lovelace", "Abel Ada", "Zoe Ada", "Bo", "Adams 00"]
    assert len(contacts) == 8
    assert 'href="/admin/npd/contact/?q=ada"' in found(browser, "ada")
    assert titles(browser, "vada") == {"Contacts": ["Nevada Smith"]}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("muller", "Zoë Müller"), ("MULLER", "ZOË MÜLLER"), ("wlizlo", "Grupa Wlizło"), ("lovas", "Løvås Hansen"),
        ("strasse", "Straße 5"), ("strasse", "Strasse 5"), ("aegir", "Ægir"), ("Müller", "ZOË MÜLLER"),
        ("nguyen", "Nguyễn Văn"), ("zoe muller", "Zoë Müller"), ("a.b", "Ä.B"),
    ],
)  # fmt: skip
def test_letters_are_found_without_their_marks(browser: Client, typed: str, name: str) -> None:
    states.contact(name)
    states.contact("Zo* Axb Muler")
    assert titles(browser, typed) == {"Contacts": [name]}
    assert name in browser.get("/admin/npd/contact/", {"q": typed}).content.decode()


def test_a_name_without_marks_is_a_word_as_good_as_one_with_them(browser: Client) -> None:
    for name in ("Gmüller", "Müllerin", "Jan Müller", "Bo Muller"):
        states.contact(name)
    contacts = titles(browser, "muller")["Contacts"]
    assert (set(contacts[:2]), contacts[2:]) == ({"Jan Müller", "Bo Muller"}, ["Müllerin", "Gmüller"])
    assert titles(browser, "müller")["Contacts"] == ["Jan Müller", "Müllerin", "Gmüller"]


@pytest.mark.parametrize("typed", ["daunta matthai", "danuat", "Mathai", "dnuta", "matthaii", "danutta", "matthau"])
def test_where_nothing_is_found_names_with_one_letter_else_are_offered(
    browser: Client, client: Client, typed: str
) -> None:
    for name in ("Danuta Matthäi", "Dan Matt", "Donata Matz"):
        states.contact(name)
    assert titles(browser, typed) == {"Did you mean": ["Danuta Matthäi"]}
    assert titles(browser, "danuta") == {"Contacts": ["Danuta Matthäi"]}
    assert titles(browser, f"{typed} Smith") == {}
    client.force_login(staff_who_may("view_organization"))
    assert titles(client, typed) == {}


@pytest.mark.parametrize("typed", ["040 123456", "040/123 456", "+49 40 123456", "0049 40 123456", "(040) 12345"])
def test_a_phone_number_is_found_as_people_write_it_and_stands_beside_the_name(browser: Client, typed: str) -> None:
    states.boards()
    states.contact("Ann", email="ann@example.test", phone="+4940123456")
    states.contact("Bo", email="bo@example.test", phone="+4940123999")
    html = found(browser, typed)
    assert (titles(browser, typed)["Contacts"], "+49 40 123456" in words_of(html)) == (["Ann"], True)
    assert "ann@example.test" not in html
    assert "Ann" in words_of(browser.get("/admin/npd/contact/", {"q": typed}).content.decode())


def test_what_fits_best_decides_which_group_stands_first(browser: Client, world: dict[str, Any]) -> None:
    states.contact("Importance Ltd")
    assert list(titles(browser, "import")) == ["Commands", "Help", "Contacts"]
    for term, page in (("boards", "Boards"), ("gloss", "Glossary"), ("blocked f", "Blocked fields")):
        assert titles(browser, term)["Pages"] == [page]
    states.contact("Max Boardsen")
    assert list(titles(browser, "boards")) == ["Pages", "Contacts"]
    assert "Petra Keller" in titles(browser, "keller")["Jobs"]


def test_commands_are_those_that_somebody_may_give_here(client: Client, world: dict[str, Any]) -> None:
    page = f"/admin/npd/contact/{world['synced'].pk}/change/"
    client.force_login(User.objects.create_superuser("root"))
    assert titles(client, "", page)["Commands"][0] == "Sync now"
    assert "Sync now" not in titles(client, "")["Commands"]
    assert titles(client, "pause") == {"Commands": ["Pause organizations", "Pause contacts", "Pause all sync"]}
    client.post("/admin/sync/syncqueue/pause/", {"entity_type": "contact"})
    assert titles(client, "contacts")["Commands"] == [
        "Import contacts", "Export contacts", "Sync contacts now", "Resume contacts",
    ]  # fmt: skip
    client.force_login(staff_who_may("view_contact"))
    commands = titles(client, "", page)["Commands"]
    assert commands == ["Dark mode", "Light mode", "Mode of the system", "Help", "Sign out"]
    assert titles(client, "log out") == {"Commands": ["Sign out"]}
    client.logout()
    assert client.get("/admin/search/", {"s": "zoe"}).status_code == 302


def test_without_a_word_it_leads_to_what_this_person_did_something_with_last(
    client: Client, browser: Client, world: dict[str, Any]
) -> None:
    browser.post(f"/admin/npd/contact/{world['synced'].pk}/sync-off/")
    address = f"/admin/npd/contact/{world['synced'].pk}/change/"
    assert links(found(browser, "")) == {address}
    client.force_login(staff_who_may("npd.view_organization"))
    assert address not in links(found(client, ""))


def test_help_is_found_by_the_words_of_its_titles_and_where_nothing_is_found_there_is_a_way_to_it(
    browser: Client,
) -> None:
    [title] = titles(browser, "conflicts resolve")["Help"]
    assert title == "Resolve conflicts"
    assert "/admin/help/howto/resolve-conflicts/" in found(browser, "resolve conflicts")
    assert "/admin/help/" in found(browser, "zzzz")


def test_what_is_pending_is_synced_by_a_command_for_each_board_and_for_all(
    client: Client, world: dict[str, Any]
) -> None:
    """It is the queue's own retry of what is pending: what failed stays as it is, and the page asks first."""
    client.force_login(User.objects.create_superuser("root"))
    assert titles(client, "sync contacts") == {"Commands": ["Sync contacts now"]}
    every = ["Sync organizations now", "Sync contacts now", "Sync everything now"]
    assert titles(client, "sync now") == {"Commands": every}
    pending = SyncQueue.objects.filter(status="pending")
    [hit] = client.get("/admin/search/", {"s": "sync contacts now"}).context["groups"][0].hits
    [asked] = re.findall(r'name="expect" value="(\d+)"', client.post(hit.url, hit.post).content.decode())
    contacts = pending.filter(entity_type="contact")
    contacts.update(attempts=3)
    assert int(asked) == contacts.count() > 0
    failed = set(SyncQueue.objects.filter(status="failed").values_list("pk", flat=True))
    client.post(hit.url, hit.post | {"confirmed": "1", "expect": asked})
    assert set(contacts.values_list("attempts", flat=True)) == {0}
    assert set(SyncQueue.objects.filter(status="failed").values_list("pk", flat=True)) == failed
    pending.update(status="completed")
    assert client.post(hit.url, hit.post).context["question"].button == ""
    client.force_login(staff_who_may())
    assert list(titles(client, "sync")) == ["Help"]


def test_a_search_asks_the_database_as_much_for_many_hits_as_for_few(browser: Client) -> None:
    queries = partial(queries_of, lambda: titles(browser, "berg"))
    states.contact("Berg 1")
    titles(browser, "berg")
    few = queries()
    for number in range(20):
        states.waiting(f"Berg {number}")
    assert queries() <= few + 1


def test_what_is_gone_or_not_allowed_any_more_is_not_found_again(client: Client, world: dict[str, Any]) -> None:
    reader = staff_who_may("view_contact")
    client.force_login(reader)
    address = f"/admin/npd/contact/{world['synced'].pk}/change/"
    assert links(found(client, "Zoë")) == {address}
    reader.user_permissions.clear()
    assert not links(found(client, "Zoë"))
    reader.user_permissions.add(Permission.objects.get(codename="view_contact"))
    assert links(found(client, "Zoë")) == {address}
    Contact.objects.filter(pk=world["synced"].pk).delete()
    assert NOTHING in words_of(found(client, "Zoë"))

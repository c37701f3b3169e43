"""Each page has its help, which is on the site; and what can't be shown is said inside the site's frame."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from config import help_pages
from tests.admin import states
from tests.admin.test_records import words_of
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db
DOCS = Path(__file__).resolve().parents[2] / "docs"
FRAME = 'id="nav-sidebar"'


def help_of(html: str) -> str:
    found = re.search(r'<a\s+class="npd-words-link"\s+href="(/admin/help/[^"]*)"', html)
    return found[1] if found else ""


def test_every_page_has_a_help_that_opens(browser: Client) -> None:
    for address in ("/admin/", "/admin/npd/contact/", "/admin/sync/syncqueue/", "/admin/glossary/"):
        assert browser.get(help_of(browser.get(address).content.decode())).status_code == 200
    for name in {name for _, name in help_pages.PAGES} - {help_pages.START}:
        assert browser.get(f"/admin/help/{name}/").status_code == 200, name


def test_every_help_page_opens_and_none_of_its_links_is_dead(browser: Client) -> None:
    start = browser.get("/admin/help/").content.decode()
    pages = set(re.findall(r'href="(/admin/help/\w[^"#]*)"', start))
    served = [path for pattern in help_pages.LISTED for path in DOCS.glob(pattern)]
    assert len(pages) == len(served) > 20
    links: set[str] = set()
    for page in pages:
        html = browser.get(page).content.decode()
        article = html.split("<article", 1)[1].split("</article>")[0]
        found = set(map(unescape, re.findall(r'href="([^"]+)"', article)))
        anchors = set(re.findall(r'id="([^"]+)"', article))
        assert {link[1:] for link in found if link.startswith("#")} <= anchors, page
        links |= {link for link in found if not link.startswith(("#", "http"))}
        assert "<!--" not in article
    assert "/admin/glossary/" in links
    for link in links:
        path, _, anchor = link.partition("#")
        answer = browser.get(path)
        assert answer.status_code == 200, link
        assert not anchor or f'id="{anchor}"' in answer.content.decode(), link


def test_the_help_of_a_records_page_is_what_such_a_page_says(browser: Client) -> None:
    states.boards()
    record = states.synced("Ann", "701")
    page = browser.get(f"/admin/npd/contact/{record.pk}/change/").content.decode()
    address, _, part = help_of(page).partition("#")
    assert part == "what-does-a-records-page-say"
    assert f'id="{part}"' in browser.get(address).content.decode()
    assert "#" not in help_of(browser.get("/admin/npd/contact/add/").content.decode())


def found_in_help(client: Client, term: str) -> list[str]:
    html = client.get("/admin/help/", {"q": term}).content.decode().partition('id="npd-help-pages"')[2]
    return re.findall(r'href="/admin/help/([^"]*)"', html)


@pytest.mark.parametrize(
    ("asked", "section"),
    [
        ("token rejected", "howto/when-something-is-wrong/#monday-rejects-the-token"),
        ("rejected token", "howto/when-something-is-wrong/#monday-rejects-the-token"),
        ("archived by mistake", "howto/when-something-is-wrong/#somebody-archived-or-deleted-many-items"),
        ("lost phone number", "howto/sign-in-safely/#i-have-lost-everything-what-now"),
        ("deleting many", "howto/when-something-is-wrong/#somebody-archived-or-deleted-many-items"),
        ("resolve confl", "howto/resolve-conflicts/"),
    ],
)
def test_the_help_finds_the_section_that_answers_first_in_whatever_form_a_word_is_asked(
    browser: Client, asked: str, section: str
) -> None:
    assert found_in_help(browser, asked)[0] == section
    assert found_in_help(browser, "zzzz") == found_in_help(browser, "the") == []


def test_developers_pages_come_after_those_for_people(browser: Client) -> None:
    found = [name.split("/#")[0].strip("/") for name in found_in_help(browser, "phone")]
    listed = {*help_pages.WORK, *help_pages.SET_UP, help_pages.EMERGENCY}
    is_for_people = [name in listed and not name.startswith("reference/") for name in found]
    assert is_for_people == sorted(is_for_people, reverse=True)
    assert len(found) > 5


def test_a_long_page_begins_with_its_parts_and_a_short_one_does_not(browser: Client) -> None:
    def parts(name: str) -> list[str]:
        html = browser.get(f"/admin/help/{name}/").content.decode()
        listed = html.partition('class="npd-doc-parts"')[2].partition("</nav>")[0]
        found = re.findall(r'href="#([^"]+)"', listed)
        assert all(html.count(f' id="{one}"') == 1 for one in found)
        return found

    assert len(parts("howto/resolve-conflicts")) > 2
    assert "many-at-once" in parts("howto/resolve-conflicts")
    assert parts("howto/export-or-erase-a-person") == []


def test_only_help_pages_are_read_and_only_by_who_is_signed_in(browser: Client) -> None:
    for name in ("../README", "howto/../../README", "howto/nothing", "tour", "reference/"):
        assert browser.get(f"/admin/help/{name}/").status_code in (301, 404), name
    assert Client().get("/admin/help/howto/steer-the-queue/").status_code == 302


@pytest.fixture
def patient(browser: Client) -> Client:
    """Who gets the page that a browser would get, also about a failure of ours."""
    browser.raise_request_exception = False
    return browser


def test_a_page_that_can_not_be_shown_is_said_in_the_frame_of_who_is_signed_in(patient: Client) -> None:
    def seen(client: Client, address: str) -> tuple[int, bool]:
        page = client.get(address)
        return page.status_code, FRAME in page.content.decode()

    for address, status in (("sync/nothing/of/the/kind", 404), ("sync/decision/4711/undo", 404), ("inbox/act", 405)):
        assert seen(patient, f"/admin/{address}/") == (status, True)
    assert seen(Client(), "/nothing/here/") == (404, False)
    patient.force_login(staff_who_may())
    assert seen(patient, "/admin/npd/contact/") == (403, True)


def test_a_fault_of_ours_is_said_in_the_frame_with_its_number(patient: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("django.template.response.SimpleTemplateResponse.render", broken)
    page = patient.get("/admin/glossary/", headers={"X-Request-Id": "abcdef-number-of-it"})
    assert page.status_code == 500
    html = page.content.decode()
    assert FRAME in html
    assert page.headers["X-Request-Id"] in html


def test_the_page_about_a_fault_needs_no_database(patient: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("the server is away")

    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", away)
    page = patient.get("/admin/glossary/")
    assert page.status_code == 500
    assert FRAME not in page.content.decode()
    assert "Something went wrong here" in words_of(page.content.decode())


def test_an_expired_form_is_said_in_the_frame(person: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    page = strict.post("/admin/npd/contact/export/", {"format": "csv"})
    assert page.status_code == 403
    assert FRAME in page.content.decode()
    assert "This form has expired" in words_of(page.content.decode())


@pytest.mark.parametrize(
    ("form", "referer", "page"),
    [
        ({}, "http://testserver/admin/inbox/?kind=failed", "/admin/inbox/?kind=failed"),
        ({"back": "/admin/inbox/?kind=failed"}, "http://testserver/admin/inbox/act/", "/admin/inbox/?kind=failed"),
        ({"next": "https://elsewhere.example/"}, "https://elsewhere.example/", "/admin/"),
        ({}, "", "/admin/"),
    ],
)
def test_who_signs_in_after_an_act_comes_to_the_page_of_the_act_and_reads_that_nothing_was_done(
    person: User, client: Client, form: dict[str, str], referer: str, page: str
) -> None:
    answer = client.post("/admin/inbox/act/", {"one": "retry failed:1"} | form, headers={"Referer": referer})
    assert answer.status_code == 302
    sign_in = answer.headers["Location"]
    assert "You were signed out, and nothing was done." in words_of(client.get(sign_in).content.decode())
    found = re.search(r'name="next" value="([^"]*)"', client.get(sign_in).content.decode())
    assert found
    assert unescape(found[1]) == page
    signed_in = client.post(sign_in, {"username": "dora", "password": "x", "next": unescape(found[1])})
    assert signed_in.headers["Location"] == page

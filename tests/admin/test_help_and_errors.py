"""Help pages come from docs/, and errors are shown inside the site's frame."""

import fnmatch
import re
from functools import cache
from html import unescape
from itertools import chain
from typing import Any
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import get_resolver, resolve

from config import help_pages
from tests.admin import all_pages
from tests.admin.all_pages import all_of
from tests.admin.test_records import words_of
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db
FRAME = 'id="nav-sidebar"'


def links_of(html: str) -> set[str]:
    return set(map(unescape, re.findall(r'href="([^"]+)"', html)))


@pytest.mark.parametrize("path", ["/admin/", "/admin/home/rows/?cause=x&p=1", "/admin/sync/activityline/"])
def test_what_an_open_page_reads_after_the_sign_out_is_not_the_sign_in_page(client: Client, path: str) -> None:
    answer = client.get(path, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (401, b"")
    assert client.get(path).status_code == 302


def test_every_page_leads_to_the_help_which_lists_all_of_its_pages(browser: Client) -> None:
    assert "/admin/help/" in links_of(browser.get("/admin/help/howto/operate.md").content.decode())
    listed = {link for link in links_of(browser.get("/admin/help/").content.decode()) if link.endswith(".md")}
    paths = [path for glob in help_pages.SERVED if "decisions" not in glob for path in help_pages.DOCS.glob(glob)]
    assert listed == {f"/admin/help/{path.relative_to(help_pages.DOCS)}" for path in paths}
    assert len(listed) > 10


def test_every_help_page_opens_and_none_of_its_links_is_dead(browser: Client) -> None:
    @cache
    def opened(address: str) -> str:
        answer = browser.get(address)
        assert answer.status_code == 200, address
        return answer.content.decode()

    for name in help_pages.pages():
        page = f"/admin/help/{name}"
        article = opened(page).split("<article", 1)[1].split("</article>")[0]
        assert "<!--" not in article
        for link in links_of(article):
            if not link.startswith(("http://", "https://")):
                address, _, anchor = urljoin(page, link).partition("#")
                assert not anchor or f'id="{anchor}"' in opened(address), (name, link)
                assert opened(address)


def help_of(address: str) -> str:
    """The help link of this page, without the page."""
    request = RequestFactory().get(address)
    request.resolver_match = resolve(request.path)
    return help_pages.help_url(request)


def test_help_opens_the_how_to_of_the_page_on_which_one_is(
    browser: Client, world: dict[str, Any], person: User
) -> None:
    names = [pattern.name for pattern in all_of(get_resolver().url_patterns) if pattern.name]
    for pattern, page in help_pages.HELP_OF_VIEWS.items():
        assert fnmatch.filter(names, pattern), pattern
        name, _, anchor = page.partition("#")
        assert not anchor or f'id="{anchor}"' in help_pages.rendered(help_pages.pages()[name], name), page
    home = links_of(browser.get("/admin/").content.decode())
    assert "/admin/help/howto/resolve-conflicts.md#what-needs-attention" in home
    all_pages.furnish(world, person)
    addresses = {address for address in chain(all_pages.of_models(), all_pages.without_a_row()) if address}
    to_all = {address for address in addresses - all_pages.PARTS_OF_PAGES if help_of(address) == "/admin/help/"}
    answers = {address: browser.get(address) for address in to_all}
    framed = {page for page, answer in answers.items() if answer.status_code == 200 and FRAME in str(answer.content)}
    assert framed == {"/admin/help/"}


def test_the_html_of_a_text_is_shown_and_what_is_not_served_is_not_led_to() -> None:
    html = help_pages.rendered("<script>x</script> [code](../../npd/models.py) [on](operate.md#x)", "howto/monitor.md")
    assert "&lt;script&gt;" in html
    assert "<a>code</a>" in html
    assert '<a href="operate.md#x">on</a>' in html
    assert "href" not in help_pages.rendered("[x](javascript:alert(1))", "howto/monitor.md")


def test_only_help_pages_are_read_and_only_by_who_is_signed_in(browser: Client) -> None:
    for name in ("../README.md", "howto/../../README.md", "howto/nothing.md", "tour", "tour.md", "reference/"):
        assert browser.get(f"/admin/help/{name}").status_code in (301, 404), name
    assert Client().get("/admin/help/howto/operate.md").status_code == 302


def test_a_page_that_can_not_be_shown_is_said_in_the_frame_of_who_is_signed_in(patient: Client) -> None:
    def status_and_frame(client: Client, address: str) -> tuple[int, bool]:
        page = client.get(address)
        return page.status_code, FRAME in page.content.decode()

    for address, status in (("sync/nothing/of/the/kind", 404), ("sync/activityline/4711/undo", 404), ("home/act", 405)):
        assert status_and_frame(patient, f"/admin/{address}/") == (status, True)
    # The scripts of the frame don't run under /accounts/.
    assert status_and_frame(patient, "/accounts/email/") == (404, False)
    assert status_and_frame(Client(), "/nothing/here/") == (404, False)
    patient.force_login(staff_who_may())
    assert status_and_frame(patient, "/admin/npd/contact/") == (403, True)


def test_a_fault_of_ours_is_said_in_the_frame_with_its_number(patient: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("django.template.response.SimpleTemplateResponse.render", broken)
    page = patient.get("/admin/help/", headers={"X-Request-Id": "abcdef-number-of-it"})
    assert page.status_code == 500
    html = page.content.decode()
    assert FRAME in html
    assert page.headers["X-Request-Id"] in html


def test_the_page_about_a_fault_needs_no_database(patient: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("the server is away")

    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", away)
    page = patient.get("/admin/help/")
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
        ({"back": "/admin/settings/"}, "http://testserver/admin/home/act/", "/admin/settings/"),
        ({"next": "https://elsewhere.example/"}, "https://elsewhere.example/", "/admin/"),
    ],
)
def test_who_signs_in_after_an_act_comes_to_the_page_of_the_act_and_reads_that_nothing_was_done(
    person: User, client: Client, form: dict[str, str], referer: str, page: str
) -> None:
    answer = client.post("/admin/home/act/", {"act_and_key": "retry failed:1"} | form, headers={"Referer": referer})
    assert answer.status_code == 302
    sign_in = answer.headers["Location"]
    assert "You were signed out, and nothing was done." in words_of(client.get(sign_in).content.decode())
    [next_page] = set(re.findall(r'name="next" value="([^"]*)"', client.get(sign_in).content.decode()))
    assert unescape(next_page) == page
    signed_in = client.post(sign_in, {"login": "dora", "password": "x", "next": page})
    assert signed_in.headers["Location"] == page

"""Commands and names of settings stand for an administrator alone: in the fold that is called so, nowhere else.

Of all pages together test_html.py looks for them.
"""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import responses
from django.test import Client

from sync.kernel.messages import NOT_CONNECTED, NOT_READABLE
from sync.monday import errors
from sync.monday.errors import ErrorKind

pytestmark = pytest.mark.django_db

SET_UP = "/admin/sync/boardlink/set-up/"
OF_OPERATIONS = re.compile(r"manage\.py|\b[A-Z]+(?:_[A-Z]+)+\b")


class Shown(HTMLParser):
    """The text of a page, but for what is in a fold for administrators, and what no browser shows."""

    UNENDED = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open, self.text = list[tuple[str, bool]](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept_back = "npd-administrator" in (dict(attrs).get("class") or "").split()
        kept_back |= tag in ("script", "style", "template") or bool(self.open and self.open[-1][1])
        if tag not in self.UNENDED:
            self.open.append((tag, kept_back))

    def handle_endtag(self, tag: str) -> None:
        while any(tag == name for name, _ in self.open) and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not (self.open and self.open[-1][1]):
            self.text.append(data)


def names_in(html: str) -> set[str]:
    """The commands and settings that a page names to everybody."""
    page = Shown()
    page.feed(html)
    return {name for name in OF_OPERATIONS.findall(" ".join(page.text)) if len(name) >= 6}


@responses.activate
def test_a_failed_test_opens_the_administrators_fold(browser: Client, world: dict[str, Any], settings: Any) -> None:
    responses.add("POST", settings.MONDAY_API_URL, "<html>a proxy</html>", status=404)
    html = browser.post(SET_UP).content.decode()
    assert names_in(html) == set()
    [fold] = re.findall(r'id="npd-administrator"\s+open\s*>.*?</details>', html, re.DOTALL)
    assert errors.WRONG_ADDRESS.for_administrator in fold.replace("&#x27;", "'")


@pytest.mark.parametrize("kind", errors.KINDS.values(), ids=str)
def test_the_advice_of_an_error_is_for_everybody(kind: ErrorKind) -> None:
    assert OF_OPERATIONS.findall(kind.advice) == []


def test_why_there_is_no_token_is_said_to_everybody() -> None:
    assert [name for sentence in (NOT_CONNECTED, NOT_READABLE) for name in OF_OPERATIONS.findall(sentence)] == []

"""Commands and settings are named in the administrators' fold alone; test_html.py checks all pages."""

import re
from typing import Any

import html5lib
import pytest
import responses
from django.test import Client

from sync.limits.credentials import NOT_CONNECTED, NOT_READABLE
from sync.monday import errors
from sync.monday.errors import ErrorKind

pytestmark = pytest.mark.django_db

SET_UP = "/admin/sync/boardlink/set-up/"
OF_OPERATIONS = re.compile(r"manage\.py|\b[A-Z]+(?:_[A-Z]+)+\b")


def names_in(html: str) -> set[str]:
    """The commands and settings that a page shows outside the fold for administrators."""
    root = html5lib.parse(html, namespaceHTMLElements=False)
    for parent in [*root.iter()]:
        for child in [*parent]:
            if child.tag in ("script", "style", "template") or "npd-administrator" in child.get("class", "").split():
                child.clear()
    return {name for name in OF_OPERATIONS.findall(" ".join(root.itertext())) if len(name) >= 6}


@responses.activate
def test_a_failed_test_opens_the_administrators_fold(browser: Client, world: dict[str, Any], settings: Any) -> None:
    responses.add("POST", settings.MONDAY_API_URL, "<html>a proxy</html>", status=404)
    html = browser.post(SET_UP).content.decode()
    assert names_in(html) == set()
    assert names_in(html.replace("npd-administrator", "")) != set()
    [fold] = re.findall(r'id="npd-administrator"\s+open\s*>.*?</details>', html, re.DOTALL)
    assert errors.WRONG_ADDRESS.for_administrator in fold.replace("&#x27;", "'")


@pytest.mark.parametrize("kind", errors.KINDS.values(), ids=str)
def test_the_advice_of_an_error_is_for_everybody(kind: ErrorKind) -> None:
    assert OF_OPERATIONS.findall(kind.advice) == []


def test_why_there_is_no_token_is_said_to_everybody() -> None:
    assert [name for sentence in (NOT_CONNECTED, NOT_READABLE) for name in OF_OPERATIONS.findall(sentence)] == []

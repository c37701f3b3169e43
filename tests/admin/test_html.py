"""Every page is valid HTML, without an id twice or a reference that leads nowhere, and axe-core finds nothing in it.

Nor does any name a command or a setting but to an administrator.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.admin.all_pages import pages
from tests.admin.test_administrators_words import names_in
from tests.support.pages import faults_of_html

pytestmark = pytest.mark.django_db

OF_UNFOLD = {
    # Browsers read both as they are meant.
    "unexpected-character-after-attribute-value": "unfold's tab_action.html leaves no space between two attributes",
    "expected-named-entity": "unfold's class names of Tailwind hold “[&”, which the parser takes for an entity",
}
"""Faults in templates that are not ours, by a part of their message, with the reason they stay."""

REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "form", "list", "headers")


def faults(html: str) -> Iterator[str]:
    """Everything that is wrong in a page."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root = parser.parse(html)
    lines = html.splitlines()
    for (line, column), code, details in parser.errors:
        near = lines[line - 1].strip()[:160] if 0 < line <= len(lines) else ""
        yield f"{code} {details or ''} at {line}:{column}: {near}"
    yield from of_the_tree(root)


def of_the_tree(root: Element) -> Iterator[str]:
    """What the parser takes, and a browser or a screen reader trips over."""
    everything = [element for element in root.iter() if isinstance(element.tag, str)]
    ids = Counter(element.get("id") for element in everything if element.get("id") is not None)
    yield from (f"the id “{name}” stands {times} times" for name, times in ids.items() if times > 1)
    if "" in ids:
        yield "an id is empty"
    for element in everything:
        for name in REFERENCES:
            for target in (element.get(name) or "").split():
                if target not in ids:
                    yield f"{name}=“{target}” of <{element.tag}> leads nowhere"
    yield from nested(root, ())
    titles = root.findall(".//title")
    if len([title for title in titles if (title.text or "").strip()]) != 1:
        yield f"{len(titles)} titles"


def nested(element: Element, above: tuple[str, ...]) -> Iterator[str]:
    """What a person can press must not stand in what a person can press."""
    tag = str(element.tag)
    if tag in ("a", "button") and {"a", "button"} & set(above):
        yield f"<{tag}> inside <{next(name for name in above if name in ('a', 'button'))}>"
    if tag in ("ul", "ol"):
        yield from (f"<{child.tag}> in <{tag}>" for child in element if child.tag not in ("li", "script", "template"))
    for child in element:
        if isinstance(child.tag, str):
            yield from nested(child, (*above, tag))


@pytest.mark.slow
def test_every_page_is_valid_and_readable(chromium: Any, browser: Client, world: dict[str, Any], person: User) -> None:
    pages_by_address = pages(browser, world, person)
    wrong: dict[str, str] = {}
    for address, html in pages_by_address.items():
        for fault in faults(html):
            if not any(known_fault in fault for known_fault in OF_UNFOLD):
                wrong.setdefault(re.sub(r" at \d+:\d+", "", fault), address)
        if not address.startswith("/admin/help/") and (names := names_in(html)):
            wrong[f"names {sorted(names)}"] = address
    assert len(pages_by_address) > 80
    barred = faults_of_html(chromium, pages_by_address)
    if lines := [*(f"{address}: {fault}" for fault, address in wrong.items()), *barred]:
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.mark.parametrize(
    "html",
    [
        "<!DOCTYPE html><title>x</title><p id=a></p><p id=a></p>",
        "<!DOCTYPE html><title>x</title><label for=nobody>x</label>",
        "<!DOCTYPE html><title>x</title><p><div></div></p>",
        "<!DOCTYPE html><title>x</title><a href=x><button>y</button></a>",
        "<!DOCTYPE html><title>x</title><table><div>x</div></table>",
        "<!DOCTYPE html><title>x</title><ul><div>x</div></ul>",
        "<title>no doctype</title>",
    ],
)
def test_a_fault_is_found(html: str) -> None:
    assert list(faults(html))

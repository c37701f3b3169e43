"""Every page is valid HTML, passes axe-core, and names commands and settings only to administrators."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import html5lib
import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client, RequestFactory
from django.views.i18n import JavaScriptCatalog

from tests.admin.all_pages import pages
from tests.admin.test_administrators_words import names_in
from tests.support.pages import AXE, AXE_OPTIONS, BESIDE, STILL, beside_screen, serious_violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = pytest.mark.django_db

# Faults in unfold's templates, by a part of their message, with the reason they stay.
OF_UNFOLD = {
    # Browsers read both as intended.
    "unexpected-character-after-attribute-value": "unfold's tab_action.html leaves no space between two attributes",
    "expected-named-entity": "unfold's class names of Tailwind hold “[&”, which the parser takes for an entity",
}

REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "form", "list", "headers")


def faults(html: str) -> Iterator[str]:
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root = parser.parse(html)
    lines = html.splitlines()
    for (line, column), code, details in parser.errors:
        near = lines[line - 1].strip()[:160] if 0 < line <= len(lines) else ""
        yield f"{code} {details or ''} at {line}:{column}: {near}"
    yield from of_the_tree(root)


def of_the_tree(root: Element) -> Iterator[str]:
    """Faults that the parser accepts, and a browser or a screen reader trips over."""
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
    """Nothing clickable may stand inside something clickable."""
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


# What axe finds.


READ = "data-read"
# Attributes whose values count for a shape; of others only whether they are set.
SHAPING = {"class", "role", "type", "lang", "dir", "tabindex"}
# Classes that name a cell's field.
NAMING = re.compile(r"\b(field|column)-\S+")
LONG_WORD = re.compile(r"\S{25}")
LOOK = f"""async ([dark, ...asked]) => {{
    document.documentElement.classList.toggle("dark", dark);
    document.querySelectorAll("details").forEach(one => (one.open = true));
    return [(await axe.run(...asked)).violations, ({BESIDE})()];
}}"""


def faults_of_html(chromium: Browser, pages: Mapping[str, str]) -> Iterator[str]:
    """Faults that `barriers` and the console report; parts shaped as on an earlier page are skipped."""
    read_shapes = set[int]()
    unread_pages = {name: html for name, whole in pages.items() if (html := unread(whole, read_shapes))}
    context = chromium.new_context(base_url="http://npd.test")
    context.route("**/*", partial(answer, list(unread_pages.values())))
    page, errors = context.new_page(), list[str]()
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    read = {"include": [["html"]], "exclude": [[f"[{READ}]"]]}
    for number, name in enumerate(unread_pages):
        # On a narrow screen the sidebar is closed.
        for look, width in (("dark", 390), ("light", 1280), ("dark", 1280))[: 2 if number else 3]:
            page.set_viewport_size({"width": width, "height": 900})
            if (look, width) == ("dark", 390):
                page.goto(f"/{number}")
                page.evaluate(AXE)
            violations, beside = page.evaluate(LOOK, [look == "dark", read, AXE_OPTIONS])
            yield from (
                f"{name}, {look}: {fault}" for fault in (*serious_violations(violations), *beside_screen(beside))
            )
        yield from (f"{name}: {error}" for error in errors)
        errors.clear()
    context.close()


def answer(pages: list[str], route: Route) -> None:
    """Serve the pages by number, static files and the text catalogue, and nothing else."""
    name = urlsplit(route.request.url).path.removeprefix("/")
    if name.isdecimal():
        route.fulfill(body=pages[int(name)], content_type="text/html; charset=utf-8")
    elif file := finders.find(name.removeprefix("static/")):
        route.fulfill(path=str(file))
    elif name.endswith("jsi18n/"):
        catalog = JavaScriptCatalog.as_view(packages=["django.contrib.admin"])(RequestFactory().get("/"))
        route.fulfill(body=catalog.content, content_type="text/javascript")
    else:
        route.fulfill(status=204)


def unread(html: str, read_shapes: set[int]) -> str:
    """The page with READ on parts that were seen before; empty if nothing is new."""
    root = html5lib.HTMLParser(namespaceHTMLElements=False).parse(html)
    body, shapes = root.find("body"), dict[Element, int]()
    sidebar = body.find(".//*[@id='nav-sidebar']")
    if read_shapes and sidebar is not None:
        sidebar.set(READ, "")
    shape_of(body, 0, shapes)
    if shapes[body] in read_shapes:
        return ""
    mark(body, shapes, read_shapes)
    read_shapes.update(shapes.values())
    still = Element("style")
    still.text = STILL
    root.find("head").append(still)
    return "<!DOCTYPE html>" + str(html5lib.serialize(root, omit_optional_tags=False, quote_attr_values="always"))


def shape_of(element: Element, place: int, shapes: dict[Element, int]) -> int:
    """A hash of an element's place, kind and contents, without its words."""
    attributes = [
        (name, NAMING.sub(r"\1", value) if name in SHAPING or value in ("true", "false") else bool(value))
        for name, value in sorted(element.items())
        if element.tag != "body"  # the body's classes name the model
    ]
    inner = [] if element.get(READ) is not None else [child for child in element if isinstance(child.tag, str)]
    text = " ".join([element.text or "", *(child.tail or "" for child in element)])
    own = hash((place, element.tag, *attributes, bool(text.strip()), bool(LONG_WORD.search(text))))
    # Repeated rows count once.
    inner_shapes = [shape for shape, _ in groupby(shape_of(child, own, shapes) for child in inner)]
    shapes[element] = hash((own, *inner_shapes))
    return shapes[element]


def mark(element: Element, shapes: dict[Element, int], read_shapes: set[int]) -> None:
    for child in element:
        if shapes.get(child) in read_shapes:
            child.set(READ, "")
        elif child in shapes:
            mark(child, shapes, read_shapes)

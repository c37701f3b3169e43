"""Pages in a real browser: what is wrong with them, and keys. The browser itself is fixture `open_page`."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.etree.ElementTree import Element

import html5lib
from axe_playwright_python.sync_playwright import Axe
from django.contrib.staticfiles import finders
from django.test import RequestFactory
from django.views.i18n import JavaScriptCatalog

from tests.support.serving import Quiet, local, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


SIDEBAR = "#nav-sidebar"
AXE = Axe().axe_script
BELOW_SERIOUS = (
    "aria-allowed-role", "empty-heading", "empty-table-header", "heading-order", "image-redundant-alt",
    "landmark-banner-is-top-level", "landmark-complementary-is-top-level", "landmark-contentinfo-is-top-level",
    "landmark-main-is-top-level", "landmark-no-duplicate-banner", "landmark-no-duplicate-contentinfo",
    "landmark-no-duplicate-main", "landmark-unique", "meta-viewport-large",
    "page-has-heading-one", "presentation-role-conflict", "scope-attr-valid", "skip-link",
    "table-duplicate-name",
)  # fmt: skip
"""Rules of axe that are no part of WCAG, nor ever serious: what they find would not count, and costs a fifth of all."""
JUMPED_TO = {"landmark-one-main", "region"}
"""Rules that are no part of WCAG either, but by what they hold a screen reader gets past the menu."""
AXE_OPTIONS = {
    "resultTypes": ["violations"],
    "preload": False,
    "elementRef": False,
    "rules": {name: {"enabled": False} for name in BELOW_SERIOUS},
}
WCAG = {"wcag2a", "wcag2aa", "wcag21a", "wcag21aa"}
AXE_FILE = "axe-core.js"
READ = "data-read"
SHAPING = {"role", "type", "lang", "dir", "tabindex"}
"""Attributes whose values, as its classes, say what an element is and looks like; of others it counts that they are."""
NAMING = re.compile(r"^(app|model|field|column)-.*")
"""Classes that say which model or field it is. One that no style sheet names looks like every other."""
CLASS = re.compile(r"\.([\w-]+)")
LONG_WORD = re.compile(r"\S{25}")
STILL = "*, ::before, ::after { transition: none !important; animation: none !important }"
STAND_STILL = f"""() => {{
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("{STILL}");
    document.adoptedStyleSheets = [sheet];
}}"""
"""A colour that is still changing is no contrast to measure. (The site's policy forbids a style element.)"""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

BESIDE = """() => {
    const room = innerWidth, root = document.documentElement;
    if (root.scrollWidth <= room) return [];
    const wide = [...document.body.querySelectorAll("*")].filter(one => one.getBoundingClientRect().right > room + 0.5);
    const inner = wide.filter(one => !wide.some(other => other !== one && one.contains(other)));
    return [`${root.scrollWidth - room} px`, ...inner.slice(0, 3).map(one => one.outerHTML.slice(0, 160))];
}"""
"""By how much the page is wider than the screen, and the innermost elements that stand out."""
LOOK = f"""async ([dark, ...asked]) => {{
    document.documentElement.classList.toggle("dark", dark);
    document.querySelectorAll("details").forEach(one => (one.open = true));
    return [(await axe.run(...asked)).violations, ({BESIDE})()];
}}"""


def inbox_badge(page: Page) -> Any:
    """The number beside Home. Wait for it: it is counted anew by PostgreSQL's statistics, ten seconds late at most."""
    return page.locator("#nav-sidebar-apps a", has_text="Home").locator("[id^=badge-of]")


def serious(page: Page) -> list[str]:
    """What axe-core finds on the page that breaks WCAG A or AA, or is serious."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    return _serious(page.evaluate("asked => axe.run(...asked).then(found => found.violations)", ["html", AXE_OPTIONS]))


def _serious(violations: list[dict[str, Any]]) -> list[str]:
    return [
        f"{violation['id']}: {violation['nodes'][0]['html'][:160]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        or WCAG & set(violation["tags"])
        or violation["id"] in JUMPED_TO
    ]


def faults_of_html(chromium: Browser, pages: Mapping[str, str]) -> Iterator[str]:
    """What `barriers` and the console say of pages, given by name, as HTML that was rendered before.

    Each is loaded once, without NPD: on a narrow dark screen, and then as it is on a wide light one. What stood in the
    same place of a page before, alike but for its words, is not read again; what is folded is unfolded.
    """
    shapes = Shapes()
    unread = {name: html for name, whole in pages.items() if (html := shapes.unread(whole))}
    with serving(local(type("Handler", (_Rendered,), {"pages": list(unread.values())}))) as server:
        context = chromium.new_context(base_url=f"http://127.0.0.1:{server.server_port}")
        page, errors = context.new_page(), list[str]()
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        read = {"include": [["html"]], "exclude": [[f"[{READ}]"]]}
        for number, name in enumerate(unread):
            # On a narrow screen the sidebar is shut.
            for look, width in (("dark", 390), ("light", 1280), ("dark", 1280))[: 2 if number else 3]:
                page.set_viewport_size({"width": width, "height": 900})
                if (look, width) == ("dark", 390):
                    page.goto(f"/{number}")
                violations, beside = page.evaluate(LOOK, [look == "dark", read, AXE_OPTIONS])
                yield from (f"{name}, {look}: {fault}" for fault in (*_serious(violations), *_beside(beside)))
            yield from (f"{name}: {error}" for error in errors)
            errors.clear()
        context.close()


@cache
def named() -> frozenset[str]:
    """The classes that a style sheet names."""
    sheets = (Path(storage.path(name)) for finder in finders.get_finders() for name, storage in finder.list([]))
    return frozenset(name for sheet in sheets if sheet.suffix == ".css" for name in CLASS.findall(sheet.read_text()))


class Shapes:
    """The elements that were read, by their place, what they are and what they hold: not by their words."""

    def __init__(self) -> None:
        self.read_shapes: set[int] = set()

    def unread(self, html: str) -> str:
        """The page, with READ on what holds nothing new; empty where that is the whole page."""
        root = html5lib.HTMLParser(namespaceHTMLElements=False).parse(html)
        body, shapes = root.find("body"), dict[Element, int]()
        sidebar = body.find(f".//*[@id='{SIDEBAR[1:]}']")
        if self.read_shapes and sidebar is not None:
            sidebar.set(READ, "")
        self._shape(body, 0, shapes)
        if shapes[body] in self.read_shapes:
            return ""
        self._mark(body, shapes)
        self.read_shapes.update(shapes.values())
        still, script = Element("style"), Element("script", src=f"/static/{AXE_FILE}")
        still.text = STILL
        root.find("head").extend([still, script])
        return "<!DOCTYPE html>" + str(html5lib.serialize(root, omit_optional_tags=False, quote_attr_values="always"))

    def _shape(self, element: Element, place: int, shapes: dict[Element, int]) -> int:
        attributes = tuple(
            (name, value if name in SHAPING or value in ("true", "false") else bool(value))
            for name, value in sorted(element.items())
            if name != "class"
        )
        classes = element.get("class", "").split()
        styled = [name if name in named() else NAMING.sub(r"\1", name) for name in classes]
        inner = [] if element.get(READ) is not None else [child for child in element if isinstance(child.tag, str)]
        text = " ".join([element.text or "", *(child.tail or "" for child in element)])
        own = hash((place, element.tag, attributes, *styled, bool(text.strip()), bool(LONG_WORD.search(text))))
        # However many rows a list has that are alike.
        inner_shapes = [shape for shape, _ in groupby(self._shape(child, own, shapes) for child in inner)]
        shapes[element] = hash((own, *inner_shapes))
        return shapes[element]

    def _mark(self, element: Element, shapes: dict[Element, int]) -> None:
        for child in element:
            if shapes.get(child) in self.read_shapes:
                child.set(READ, "")
            elif child in shapes:
                self._mark(child, shapes)


class _Rendered(Quiet):
    """The pages by their numbers, static files, the catalogue of texts; what else a page asks for has no answer."""

    pages: list[str]

    def reply(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/")
        if name.isdecimal():
            self.send(self.pages[int(name)].encode(), "text/html; charset=utf-8")
        elif name.endswith(AXE_FILE):
            self.send(AXE.encode(), "text/javascript")
        elif file := finders.find(name.removeprefix("static/")):
            self.send(Path(str(file)).read_bytes(), mimetypes.guess_type(name)[0] or "application/octet-stream")
        elif name.endswith("jsi18n/"):
            catalog = JavaScriptCatalog.as_view(packages=["django.contrib.admin"])(RequestFactory().get("/"))
            self.send(catalog.content, "text/javascript")
        else:
            self.answer(status=204)

    def send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=3600")
        self.end_headers()
        self.wfile.write(body)


def barriers(page: Page) -> list[str]:
    """What axe finds, and what stands beside the screen."""
    return [f"{page.url}: {fault}" for fault in (*serious(page), *_beside(page.evaluate(BESIDE)))]


def barriers_in_every_look(page: Page) -> list[str]:
    """The same on a desk and on a phone, light and dark; then the page is as it was."""
    before, faults = page.viewport_size, list[str]()
    page.evaluate(STAND_STILL)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function("width => innerWidth === width", arg=width)
            faults += [f"{width}, {scheme}: {fault}" for fault in barriers(page)]
    page.emulate_media(color_scheme="null")
    if before:
        page.set_viewport_size(before)
    return faults


def _beside(elements: list[str]) -> list[str]:
    return [f"beside the screen: {html}" for html in elements]


def press(page: Page, *keys: str) -> int:
    """Press these keys one after the other, once the page's scripts listen; return how many they were."""
    page.wait_for_load_state()
    for key in keys:
        page.keyboard.press(key)
    return len(keys)

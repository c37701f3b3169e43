"""Pages in a real browser: what is wrong with them, and keys. The browser itself is fixture `open_page`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page


SIDEBAR = "#nav-sidebar"


def serious(page: Page, known: str = "") -> list[str]:
    """What axe-core finds serious on the page as it stands, but for what the selector `known` finds."""
    return [
        f"{found['id']}: {found['nodes'][0]['html'][:160]}"
        for found in Axe().run(page, context={"exclude": [[known]]} if known else None).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


def barriers(page: Page, known: str = "") -> list[str]:
    """What axe finds serious, and what stands beside the screen."""
    out = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    found = [*serious(page, known), *([f"{out} px beside the screen"] if out > 0 else [])]
    return [f"{page.url}: {what}" for what in found]


def faults_of(open_page: Any, urls: Iterable[str], unfolded: str = "") -> list[str]:
    """What is wrong on these pages: each once, by turns on a wide light screen and on a narrow dark one.

    What the selector `unfolded` finds is clicked first. The sidebar, the same everywhere, is read once in each window.
    """
    windows = [open_page(1280, "light"), open_page(390, "dark")]
    found = []
    for number, url in enumerate(urls):
        page, errors = windows[number % 2]
        page.goto(url)
        for summary in page.locator(unfolded).all() if unfolded else ():
            summary.click()
        found += [*barriers(page, SIDEBAR if number > 1 else ""), *(f"{url}: {error}" for error in errors)]
        errors.clear()
    return found


def press(page: Page, *keys: str) -> int:
    """Press these keys one after the other; return how many they were."""
    for key in keys:
        page.keyboard.press(key)
    return len(keys)

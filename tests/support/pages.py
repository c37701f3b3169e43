"""Pages in a real browser: what is wrong with them, and keys. The browser itself is fixture `open_page`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


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


def inbox_badge(page: Page) -> Locator:
    """The number beside Home. Wait for it: it is counted anew by PostgreSQL's statistics, ten seconds late at most."""
    return page.locator("#nav-sidebar-apps a", has_text="Home").locator("[id^=badge-of]")


def serious_violations(violations: list[dict[str, Any]]) -> list[str]:
    return [
        f"{violation['id']}: {violation['nodes'][0]['html'][:160]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        or WCAG & set(violation["tags"])
        or violation["id"] in JUMPED_TO
    ]


def barriers(page: Page) -> list[str]:
    """What axe-core finds on the page that breaks WCAG A or AA, or is serious, and what stands beside the screen."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    violations = page.evaluate("asked => axe.run(...asked).then(found => found.violations)", ["html", AXE_OPTIONS])
    faults = [*serious_violations(violations), *beside_screen(page.evaluate(BESIDE))]
    return [f"{page.url}: {fault}" for fault in faults]


def barriers_in_both_schemes(page: Page) -> list[str]:
    """The same light and dark; then the page is in the scheme in which it was."""
    page.evaluate(STAND_STILL)
    before = "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    faults = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        faults += [f"{scheme}: {fault}" for fault in barriers(page)]
    page.emulate_media(color_scheme=before)
    return faults


def beside_screen(elements: list[str]) -> list[str]:
    return [f"beside the screen: {html}" for html in elements]


def press(page: Page, *keys: str) -> int:
    """Press these keys one after the other, once the page's scripts listen; return how many they were."""
    page.wait_for_load_state()
    for key in keys:
        page.keyboard.press(key)
    return len(keys)

"""Pages in a real browser: their faults, and key presses. Fixture `open_page` provides the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


AXE = Axe().axe_script
# Rules of axe that are neither in WCAG nor ever serious: their findings don't count, and they take a fifth of the time.
BELOW_SERIOUS = (
    "aria-allowed-role", "empty-heading", "empty-table-header", "heading-order", "image-redundant-alt",
    "landmark-banner-is-top-level", "landmark-complementary-is-top-level", "landmark-contentinfo-is-top-level",
    "landmark-main-is-top-level", "landmark-no-duplicate-banner", "landmark-no-duplicate-contentinfo",
    "landmark-no-duplicate-main", "landmark-unique", "meta-viewport-large",
    "page-has-heading-one", "presentation-role-conflict", "scope-attr-valid", "skip-link",
    "table-duplicate-name",
)  # fmt: skip
# Rules outside of WCAG that are checked all the same: screen readers skip the menu by these landmarks.
LANDMARK_RULES = {"landmark-one-main", "region"}
AXE_OPTIONS = {
    "resultTypes": ["violations"],
    "preload": False,
    "elementRef": False,
    "rules": {name: {"enabled": False} for name in BELOW_SERIOUS},
}
WCAG = {"wcag2a", "wcag2aa", "wcag21a", "wcag21aa"}
STILL = "*, ::before, ::after { transition: none !important; animation: none !important }"
# Axe would measure the contrast of a changing colour. (The site's policy forbids a style element.)
STAND_STILL = f"""() => {{
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("{STILL}");
    document.adoptedStyleSheets = [sheet];
}}"""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# How much wider than the screen the page is, and the innermost elements that stick out.
BESIDE = """() => {
    const room = innerWidth, root = document.documentElement;
    if (root.scrollWidth <= room) return [];
    const wide = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > room + 0.5);
    const inner = wide.filter(e => !wide.some(other => other !== e && e.contains(other)));
    return [`${root.scrollWidth - room} px`, ...inner.slice(0, 3).map(e => e.outerHTML.slice(0, 160))];
}"""


def inbox_badge(page: Page) -> Locator:
    """Return the number beside Home. PostgreSQL's statistics update it up to ten seconds late, so wait for it."""
    return page.locator("#nav-sidebar-apps a", has_text="Home").locator("[id^=badge-of]")


def serious_violations(violations: list[dict[str, Any]]) -> list[str]:
    return [
        f"{violation['id']}: {violation['nodes'][0]['html'][:160]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        or WCAG & set(violation["tags"])
        or violation["id"] in LANDMARK_RULES
    ]


def barriers(page: Page) -> list[str]:
    """Return what on the page breaks WCAG A or AA or is serious, and what sticks out of the screen."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    violations = page.evaluate(
        "options => axe.run(...options).then(result => result.violations)", ["html", AXE_OPTIONS]
    )
    faults = [*serious_violations(violations), *beside_screen(page.evaluate(BESIDE))]
    return [f"{page.url}: {fault}" for fault in faults]


def barriers_in_both_schemes(page: Page) -> list[str]:
    """Return `barriers` in light and in dark once the page has loaded; afterwards it has its old scheme."""
    page.wait_for_load_state()
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
    """Press these keys one after the other once the page has loaded; return their number."""
    page.wait_for_load_state()
    for key in keys:
        page.keyboard.press(key)
    return len(keys)

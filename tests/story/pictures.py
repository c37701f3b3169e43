"""Screenshots of the story, wide and narrow, light and dark. `make pictures` keeps them, in docs/pictures."""

import os

from playwright.sync_api import Locator, Page

from tests.support.servers import ROOT

SIZES = {1280: 800, 390: 844}  # pixels
LARGEST = 250_000  # bytes
KEPT = ROOT / "docs" / "pictures"
SCENES = ("board", "record", "record-sides", "contacts", "health", "conflict", "record-settled")
WANTED = os.environ.get("PICTURES") == "1"
"""Whether this run is to take the pictures of the documentation, here and in test_tour.py."""


def clear() -> None:
    """Take away the pictures of an earlier run, so that none of a scene that is gone stays."""
    for old in KEPT.glob("*.png") if WANTED else ():
        old.unlink()


def take(page: Page, scene: str, at: Locator | None = None) -> None:
    """Picture the page, scrolled to `at`, as SCENE-WIDTH-SCHEME.png; it is wide and light again afterwards."""
    if not WANTED:
        return
    for width, height in SIZES.items():
        for scheme in ("light", "dark"):
            dress(page, width, height, scheme)
            if at is not None:
                at.evaluate("element => element.scrollIntoView({block: 'start'})")
            page.screenshot(path=KEPT / f"{scene}-{width}-{scheme}.png", animations="disabled")
    dress(page, 1280, SIZES[1280], "light")


def files() -> set[str]:
    """The names of all pictures that a run takes."""
    return {f"{scene}-{width}-{scheme}.png" for scene in SCENES for width in SIZES for scheme in ("light", "dark")}


def dress(page: Page, width: int, height: int, scheme: str) -> None:
    """Give the page this size in pixels, and the colours of a light or dark system."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    # The admin reads the system's colours when a page is loaded; the board page follows them by itself.
    page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")

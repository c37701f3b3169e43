"""Screenshots of the story, wide and narrow, light and dark: taken where PICTURES names a folder (docs/pictures)."""

import os
from pathlib import Path

from playwright.sync_api import Locator, Page

from tests.support.servers import ROOT

SIZES = {1280: 800, 390: 844}  # pixels
LARGEST = 250_000  # bytes
KEPT = ROOT / "docs" / "pictures"


class Album:
    """A folder of pictures, each of one page as it stands."""

    def __init__(self) -> None:
        self.wanted = "PICTURES" in os.environ
        self.folder = Path(os.environ.get("PICTURES") or KEPT)

    def take(self, page: Page, name: str, at: Locator | None = None) -> None:
        """Picture the page, scrolled to `at`, as NAME-WIDTH-SCHEME.png; it is wide and light again afterwards."""
        if not self.wanted:
            return
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                _dress(page, width, height, scheme)
                if at is not None:
                    at.evaluate("element => element.scrollIntoView({block: 'start'})")
                page.screenshot(path=self.folder / f"{name}-{width}-{scheme}.png", animations="disabled")
        _dress(page, 1280, SIZES[1280], "light")

    def sizes(self) -> dict[str, int]:
        """The bytes of each picture."""
        return {path.name: path.stat().st_size for path in self.folder.glob("*.png")}


def _dress(page: Page, width: int, height: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    # The admin reads the system's colours when a page is loaded; the board page follows them by itself.
    page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")

"""Screenshots of the story, wide and narrow. `PICTURES=docs/pictures` makes the README's, in dark too."""

import os
from pathlib import Path

from playwright.sync_api import Locator, Page

SIZES = {1280: 800, 390: 844}  # pixels
LARGEST = 250_000  # bytes


class Album:
    """A folder of pictures, each of one page as it stands."""

    def __init__(self, folder: Path) -> None:
        wanted = os.environ.get("PICTURES")
        self.folder = Path(wanted or folder)
        self.schemes = ("light", "dark") if wanted else ("light",)
        self.folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Page, name: str, at: Locator | None = None) -> None:
        """Picture the page, scrolled to `at`, as NAME-WIDTH-SCHEME.png; it is wide and light again afterwards."""
        for width, height in SIZES.items():
            for scheme in self.schemes:
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

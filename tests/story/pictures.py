"""Screenshots of the story, wide and narrow, light and dark. `make pictures` keeps them, in docs/pictures.

Beside them it writes what the pictured pages, the tour's too, were made of: each template, style and script of ours
with a hash of its content. So a page that has changed since is known without a browser, and by no date.
"""

import json
import os
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client
from playwright.sync_api import Locator, Page

from tests.support.servers import ROOT

SIZES = {1280: 800, 390: 844}  # pixels
LARGEST = 250_000  # bytes
KEPT = ROOT / "docs" / "pictures"
SCENES = ("board", "record", "record-sides", "contacts", "health", "conflict", "record-settled")
MADE_OF = KEPT / "made-of.json"
OF_THE_BOARD = ROOT / "sandbox" / "pages" / "static"
STATIC = re.compile(r"/static/([\w./-]+\.(?:css|js))")
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
    note(page)


def note(page: Page) -> None:
    """Write down what the page in the browser is made of, beside what was noted of others in this run."""
    _noted.update(path for path in parts_of(page) if path.is_file())
    hashes = {str(path.relative_to(ROOT)): content_hash(path) for path in sorted(_noted)}
    MADE_OF.write_text(json.dumps(hashes, indent=1) + "\n")


_noted: set[Path] = set()


def parts_of(page: Page) -> set[Path]:
    """The files of ours of which the page is made; those of a page of the admin by rendering it once more, here."""
    address = urlsplit(page.url)
    if address.port != urlsplit(settings.SITE_URL).port:
        return set(OF_THE_BOARD.iterdir())
    client = Client()
    for cookie in page.context.cookies():
        client.cookies[cookie["name"]] = cookie["value"]
    answer = client.get(f"{address.path}?{address.query}")
    assert answer.status_code == 200, page.url
    templates = {ROOT / "templates" / template.name for template in answer.templates if template.name}
    return templates | {ROOT / "static" / name for name in STATIC.findall(answer.content.decode())}


def changed_since() -> list[str]:
    """The files that are others than when the pictures were taken."""
    noted: dict[str, str] = json.loads(MADE_OF.read_text())
    return [name for name, was in noted.items() if not (ROOT / name).is_file() or content_hash(ROOT / name) != was]


def content_hash(path: Path) -> str:
    """Twelve letters that another content doesn't have."""
    return sha256(path.read_bytes()).hexdigest()[:12]


def files() -> set[str]:
    """The names of all pictures that a run takes."""
    return {f"{scene}-{width}-{scheme}.png" for scene in SCENES for width in SIZES for scheme in ("light", "dark")}


def dress(page: Page, width: int, height: int, scheme: str) -> None:
    """Give the page this size in pixels, and the colours of a light or dark system."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    # The admin reads the system's colours when a page is loaded; the board page follows them by itself.
    page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")

"""What the pictures of docs/tour were made of: each template, style and script of ours with a hash of its content.

`make pictures` writes it beside them, so a page that has changed since is known without a browser, and by no date.
"""

import json
import os
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client
from playwright.sync_api import Page

from tests.support.servers import ROOT

SIZES = {1280: 800, 390: 844}  # pixels
MADE_OF = ROOT / "docs" / "tour" / "made-of.json"
OF_THE_BOARD = ROOT / "sandbox" / "pages" / "static"
STATIC = re.compile(r"/static/([\w./-]+\.(?:css|js))")
WANTED = os.environ.get("PICTURES") == "1"
"""Whether this run is to take the pictures of the documentation."""


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


def dress(page: Page, width: int, height: int, scheme: str) -> None:
    """Give the page this size in pixels, and the colours of a light or dark system."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    # The admin reads the system's colours when a page is loaded; the board page follows them by itself.
    page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")

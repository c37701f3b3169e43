"""The pictures of docs/tour.md, taken while the demo is played; `make pictures` keeps them."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pghistory
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import BoardLink
from tests.story.conftest import worker_asleep
from tests.story.seed import HEROINE, sandbox, seed
from tests.support.servers import ROOT
from tests.support.site import Site

__all__ = ["sandbox"]

PICTURES = ROOT / "docs" / "tour"
SHOWN = re.findall(r"\(tour/((\w+)-(\w+)-(light|dark)\.png)\)", (ROOT / "docs" / "tour.md").read_text())
HEIGHT = 800  # pixels
LARGEST = 200_000  # bytes of a picture
EDITS = (
    (HEROINE, "role_title", "Director of purchasing", "Chief buyer"),
    (HEROINE, "notes", "Prefers e-mail. Orders in spring.", "Prefers e-mail. Orders in spring and in June."),
    ("Łukasz Wiśniewski", "role_title", "Head of the warehouse", "Warehouse and transport"),
    ("Nguyễn Thị Hương", "role_title", "Senior accountant", "Controller"),
)
FILE = (
    "Name,Email,Phone,Organization\n"
    "Zoë Ångström,zoe.angstrom@fjordlight.example,+46 31 701 99 00,Fjordlight AB\n"
    "Ingrid Halvorsen,ingrid@halvorsen.example,+47 22 55 01 00,Fjordlight AB\n"
    "Tomás Ó Briain,tomas.example,,\n"
)


def test_the_tour_shows_every_screen(site: Site, admin_page: Page, tmp_path: Path) -> None:
    folder = PICTURES if os.environ.get("PICTURES") == "1" else tmp_path
    with pghistory.context(user=User.objects.get(username="admin").pk):
        seed(site)
        both_sides_edit(site)
    for file, screen, width, scheme in SHOWN:
        WAYS[screen](admin_page)
        admin_page.set_viewport_size({"width": int(width), "height": HEIGHT})
        admin_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        admin_page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        admin_page.screenshot(path=folder / file, animations="disabled")


def test_every_picture_is_there_and_small() -> None:
    sizes = {path.name: path.stat().st_size for path in PICTURES.iterdir()}
    assert set(sizes) == {file for file, *_ in SHOWN}
    assert not {name: size for name, size in sizes.items() if size > LARGEST}


def both_sides_edit(site: Site) -> None:
    """Edit the same fields on both sides before the worker acts."""
    with worker_asleep(site):
        for name, field, npd_value, monday_value in EDITS:
            contact = Contact.objects.get(name=name)
            setattr(contact, field, npd_value)
            contact.save()
            site.sandbox.act("edit", item_id=contact.monday_id, column_id=field, text=monday_value)
    people = {name for name, *_ in EDITS}
    site.wait_for("all are in conflict", lambda: SyncConflict.objects.filter(resolved_at=None).count() == len(people))


def opened(path: str) -> Callable[[Page], None]:
    def go(page: Page) -> None:
        page.goto(path)

    return go


def to_record(page: Page) -> None:
    person = Contact.objects.get(name="José Martínez Núñez")
    page.goto(reverse("admin:npd_contact_change", args=[person.pk]))


def to_conflict(page: Page) -> None:
    person = Contact.objects.get(name=HEROINE)
    conflict = SyncConflict.objects.get(entity_id=person.pk, resolved_at=None)
    page.goto(reverse("admin:conflicts_syncconflict_screen", args=[conflict.pk]))
    expect(page.locator(".cfl-current")).to_have_count(1)  # the page listens to keys
    page.keyboard.press("1")


def to_wizard(page: Page) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    page.goto(reverse("admin:sync_boardlink_change", args=[link.pk]))
    page.get_by_role("button", name="Change fields and filter…").click()
    page.wait_for_url("**/fields/contact/")


def to_import(page: Page) -> None:
    page.goto("/admin/npd/contact/import/")
    file: Any = {"name": "fair.csv", "mimeType": "text/csv", "buffer": FILE.encode()}
    page.locator("input[type=file]").set_input_files(files=[file])
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("button", name="Import")).to_be_visible()


WAYS: dict[str, Callable[[Page], None]] = {
    "home": opened("/admin/"),
    "contacts": opened("/admin/npd/contact/"),
    "record": to_record,
    "conflict": to_conflict,
    "activity": opened("/admin/sync/activityline/"),
    "import": to_import,
    "wizard": to_wizard,
}

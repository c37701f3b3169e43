"""Every word of a page that isn't data can be translated: a language that brackets all of them leaves none bare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.test import Client
from django.utils import translation

from sync import registry
from tests.admin.all_pages import pages

pytestmark = pytest.mark.django_db

ASIDE = re.compile(r"⟦[^⟦⟧]*⟧")
BRACKETS = {"⟦": 1, "⟧": -1}
WORD = re.compile(r"[^\W\d_]{2,}")
SPOKEN = ("aria-label", "title", "placeholder", "alt", "data-label", "label", "aria-description")
NO_WORDS = re.compile(r"https?://\S+|[\w+/.=]*\*{4,}")
"""Addresses, and what a password's hash is shown as."""
NOT_READ = {"script", "style", "template", "code", "pre", "kbd", "svg", "textarea"}
ICON = "material-symbols-outlined"
INLINE = {
    "a",
    "abbr",
    "b",
    "bdi",
    "code",
    "del",
    "em",
    "i",
    "ins",
    "kbd",
    "mark",
    "small",
    "span",
    "strong",
    "time",
}

NAMES = {"NPD", "Sync", "Monday", "UTC", "csv", "CSV", "API", "ID", "UTF", "ISO", "Mac", "Roman", "ext"}
"""What is called so in every language."""

OF_OTHERS = (
    *(f"Knox | auth token | Can {act} auth token" for act in ("add", "change", "delete", "view")),
    "Group-permission relationship",  # Django's table between groups and permissions, named before a delete
    "Group_permissions object",
    "pbkdf2_sha256",  # the name of an algorithm
    "(m/h/dM/MY/d)",  # django-celery-beat's form of a crontab
    *(
        "Auth tokens",
        "Auth token",
        "auth token",
        "Token key",
        "token key",
        "Created",
        "created",
        "Expiry",
        "expiry",
        "User",
    ),
)
"""Words of other applications, which they don't mark for translation; knox's fields are in the last line."""

NOT_YET: tuple[str, ...] = ()
"""Pages of which some words can't be translated yet, by the beginning of their address."""


@pytest.fixture
def bracketing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A language in which every message is itself, in brackets."""

    def single(*asked: str) -> str:
        return f"⟦{asked[-1]}⟧" if asked[-1] else ""

    def plural(*asked: Any) -> str:
        one, many, number = asked[-3:]
        return f"⟦{one if number == 1 else many}⟧"

    ways: dict[str, Callable[..., str]] = {
        "gettext": single, "pgettext": single, "ngettext": plural, "npgettext": plural,
    }  # fmt: skip
    for name, way in ways.items():
        monkeypatch.setattr(translation._trans, name, way, raising=False)


def test_every_word_of_every_page_can_be_translated(
    browser_of_person: Client, world: dict[str, Any], person: User, bracketing: None
) -> None:
    found = pages(browser_of_person, world, person)
    known = stored()
    bare: dict[str, str] = {}
    for address, html in found.items():
        if address.startswith(NOT_YET):
            continue
        for text in Reader().read(html5lib.parse(html, namespaceHTMLElements=False)):
            if words := bare_words(text, known):
                bare.setdefault(f"{words}: {' '.join(text.split())[:200]}", address)
    assert len(found) > 80
    if bare:
        pytest.fail("\n".join(f"{address}: {what}" for what, address in bare.items()), pytrace=False)


class Reader:
    """Reads a page in its order: what is outside of brackets, wherever these begin and end within a block."""

    def __init__(self) -> None:
        self.depth = 0

    def read(self, element: Element, hidden: bool = False) -> Iterator[str]:
        """What a page says to eyes and ears, without what was translated."""
        hidden = hidden or element.tag in NOT_READ or ICON in (element.get("class") or "")
        around, block = self.depth, element.tag not in INLINE
        if block:
            self.depth = 0  # a text that was cut off may have lost its closing bracket
        spoken = [] if hidden else [element.get(name) or "" for name in SPOKEN]
        if element.tag == "input" and element.get("type") in ("submit", "button", "reset") and not hidden:
            spoken.append(element.get("value") or "")
        yield from (Reader().outside(text) for text in spoken)
        own = [self.outside(element.text or "")]
        for child in element:
            if isinstance(child.tag, str):
                yield from self.read(child, hidden)
            own.append(self.outside(child.tail or ""))
        if not hidden:
            yield " ".join(own)
        if block:
            self.depth = around

    def outside(self, text: str) -> str:
        """What of a text stands outside of all brackets."""
        kept = []
        for piece in re.split("([⟦⟧])", text):
            if piece in BRACKETS:
                self.depth = max(0, self.depth + BRACKETS[piece])
            elif not self.depth:
                kept.append(piece)
        return " ".join(kept)


def bare_words(text: str, known: list[str]) -> str:
    """What is left of a text without what is data."""
    text = NO_WORDS.sub(" ", text)
    if not WORD.search(text):
        return ""
    for data in (*OF_OTHERS, *known):
        if data in text:
            text = text.replace(data, " ")
    return " ".join(word for word in WORD.findall(text) if word not in NAMES)


def stored() -> list[str]:
    """Every text that stands in the database, the longest first: data, and sentences that a worker wrote down.

    And what rows and boards are called: a row's own name is for logs and errors too.
    """
    found: set[str] = {spec.board_title for spec in registry.entities()}
    for model in apps.get_models():
        fields = [
            field.attname
            for field in model._meta.concrete_fields
            if not field.choices
            and field.attname != "entity_type"
            and isinstance(
                field, models.CharField | models.TextField | models.JSONField | models.UUIDField | ArrayField
            )
        ]
        for row in model._default_manager.values_list(*fields)[:500] if fields else ():
            found.update(part for value in row for leaf in leaves(value) for part in ASIDE.split(leaf))
        found.update(str(row) for row in model._default_manager.all()[:300])
    return sorted((text for text in found if WORD.search(text)), key=len, reverse=True)


def leaves(value: Any) -> Iterator[str]:
    """The texts in a value, however deep."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        yield from (leaf for one in value for leaf in leaves(one))
    elif value is not None:
        yield str(value)


@pytest.mark.parametrize(
    ("html", "bare"),
    [
        ("<p>⟦Save⟧</p>", ""),
        ("<p>⟦Delete ⟦contact⟧⟧ Zoë</p>", ""),
        ("<p>⟦Use <a>this form</a> here⟧</p>", ""),
        ("<p>Save</p>", "Save"),
        ("<p>⟦3 rows⟧ waiting</p>", "waiting"),
        ("<p>⟦cut o…</p><p>Bare</p>", "Bare"),
        ("<p>Zoë 3 · –</p>", ""),
        ("<p>fz/ZqG**** https://example.com/page</p>", ""),
        ("<button aria-label='Close'>⟦Save⟧</button>", "Close"),
    ],
)
def test_a_bare_word_is_found(html: str, bare: str) -> None:
    page = html5lib.parse(html, namespaceHTMLElements=False)
    assert "".join(bare_words(text, ["Zoë"]) for text in Reader().read(page)) == bare

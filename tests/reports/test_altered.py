"""Monday changes what it is sent before it stores it: a rule rewrites the values of mutations on their way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from tests.support.world import World


def altering(world: World, rule: Callable[[str, Any], Any]) -> None:
    """`rule(column, value)` is what Monday stores for the value; the column "name" is the item's name."""
    send = HTTPAdapter.send

    def altered(adapter: HTTPAdapter, request: Any, **how: Any) -> Any:
        if request.url == world.sandbox.api_url and request.body:
            body = json.loads(request.body)
            if body.get("query", "").startswith("mutation Write"):
                for key, value in list(body["variables"].items()):
                    if key.startswith("name_"):
                        body["variables"][key] = rule("name", value)
                    if key.startswith("values_"):
                        values = json.loads(value)
                        body["variables"][key] = json.dumps({c: rule(c, v) for c, v in values.items()})
                data = json.dumps(body).encode()
                request = request.copy()
                request.body = data
                request.headers["Content-Length"] = str(len(data))
        return send(adapter, request, **how)

    world.patch.setattr(HTTPAdapter, "send", altered)


def of_texts(change: Callable[[str], str]) -> Callable[[str, Any], Any]:
    return lambda column, value: change(value) if isinstance(value, str) and column in ("name", "role_title") else value


LOSSLESS = {
    "folded spaces": ("Head  of   sales", lambda text: " ".join(text.split())),
    "small letters": ("Head of SALES", str.lower),
    "tags dropped": ("<b>Head</b> of <br/>sales", lambda text: re.sub("<[^>]*>", "", text)),
    "tags closed": ("<b>Head of sales", lambda text: f"{text}</b>" if text.startswith("<") else text),
    "invisible characters dropped": ("Head\u200b of sales\ufeff", lambda text: re.sub("[\u200b\ufeff]", "", text)),
    "spaces trimmed inside tags": (
        "<p class='x'> Head of sales </p>",
        lambda text: re.sub("<[^>]*>|(?<=>) ", "", text),
    ),
}
LOSING = {
    "letters cut": ("Head of sales", lambda text: text[:8]),
    "what looks like a tag": ("Ann <ann@example.org>", lambda text: re.sub("<[^>]*>", "", text)),
    "less and more": ("1 < 2 and 3 > 2", lambda text: re.sub("<[^>]*>", "", text)),
    "an address in a tag": ('<a href="https://x.org">Head</a>', lambda text: re.sub("<[^>]*>", "", text)),
    "accents": ("Café", lambda text: text.replace("é", "e")),
}


@pytest.mark.parametrize("which", LOSSLESS)
def test_what_nothing_is_lost_by_is_synced_with_a_note(world: World, which: str) -> None:
    text, change = LOSSLESS[which]
    ann = world.linked("Ann")
    altering(world, of_texts(change))
    world.save(ann, role_title=text)
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert world.status(ann) == "synced", world.ledger(ann).note
    assert "Nothing is lost" in world.ledger(ann).altered["role_title"]["reason"]
    assert (ann.role_title, world.values(ann)["role_title"]) == (text, change(text))
    page = world.browser(world.administrator("olga")).get(f"/admin/npd/contact/{ann.pk}/change/").content.decode()
    assert "Nothing is lost" in page
    # An edit of either side goes on as ever.
    world.edit(ann, "role_title", "Chair")
    world.hear(ann)
    assert (ann.role_title, world.status(ann), world.ledger(ann).altered) == ("Chair", "synced", {})


@pytest.mark.parametrize("which", LOSING)
def test_a_value_that_lost_characters_stays_pending_with_the_reason(world: World, which: str) -> None:
    text, change = LOSING[which]
    ann = world.linked("Ann")
    altering(world, of_texts(change))
    world.save(ann, role_title=text)
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert world.status(ann) == "pending"
    assert "Change it on either side" in world.ledger(ann).altered["role_title"]["reason"]
    assert ann.role_title == text


def test_a_new_items_name_counts_so_too(world: World) -> None:
    altering(world, of_texts(str.title))
    ann = world.contact("ann lee", email="ann@example.org")
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert (world.values(ann)["name"], ann.name, world.status(ann)) == ("Ann Lee", "ann lee", "synced")


def test_a_reason_names_what_nobody_sees(world: World) -> None:
    ann = world.linked("Ann")
    altering(world, of_texts(lambda text: text[:4]))
    world.save(ann, role_title="Head\u200b of sales")
    assert "“Head[zero width space] of sales”" in world.ledger(ann).altered["role_title"]["reason"]

"""Monday changes what it is sent before it stores it: case, spaces, tags, characters."""

import pytest

from sandbox.faults import ALTERATIONS
from tests.support.world import World


def altering(world: World, how: str, *columns: str) -> None:
    """Monday stores the texts of these columns so; "name" is the item's name."""
    world.sandbox.control("faults", alters=how, columns=list(columns or ("role_title",)))


LOSSLESS = {
    "folded": "Head  of   sales",
    "small": "Head of SALES",
    "tags dropped": "<b>Head</b> of <br/>sales",
    "tags closed": "<b>Head of sales",
    "invisible dropped": "Head\u200b of sales\ufeff",
}
LOSING = [
    ("cut", "Head of sales"),
    ("tags dropped", "Ann <ann@example.org>"),
    ("tags dropped", "1 < 2 and 3 > 2"),
    ("tags dropped", '<a href="https://x.org">Head</a>'),
    ("accents dropped", "Café"),
]


@pytest.mark.parametrize(("how", "text"), LOSSLESS.items())
def test_what_nothing_is_lost_by_is_synced_with_a_note(world: World, how: str, text: str) -> None:
    ann = world.linked("Ann")
    altering(world, how)
    world.save(ann, role_title=text)
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert world.status(ann) == "synced", world.ledger(ann).note
    assert "Nothing is lost" in world.ledger(ann).altered["role_title"]["reason"]
    assert ann.role_title == text
    assert world.values(ann)["role_title"] == ALTERATIONS[how](text) != text
    page = world.browser(world.administrator("olga")).get(f"/admin/npd/contact/{ann.pk}/change/").content.decode()
    assert "Nothing is lost" in page
    # An edit of either side goes on as ever.
    world.edit(ann, "role_title", "Chair")
    world.hear(ann)
    assert (ann.role_title, world.status(ann), world.ledger(ann).altered) == ("Chair", "synced", {})


@pytest.mark.parametrize(("how", "text"), LOSING)
def test_a_value_that_lost_characters_stays_pending_with_the_reason(world: World, how: str, text: str) -> None:
    ann = world.linked("Ann")
    altering(world, how)
    world.save(ann, role_title=text)
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert world.status(ann) == "pending"
    assert "Change it on either side" in world.ledger(ann).altered["role_title"]["reason"]
    assert ann.role_title == text


def test_a_new_items_name_counts_so_too(world: World) -> None:
    altering(world, "title", "name")
    ann = world.contact("ann lee", email="ann@example.org")
    for _ in range(3):
        world.hear(ann, minutes=3)
    assert (world.values(ann)["name"], ann.name, world.status(ann)) == ("Ann Lee", "ann lee", "synced")


def test_a_reason_names_what_nobody_sees(world: World) -> None:
    ann = world.linked("Ann")
    altering(world, "cut")
    world.save(ann, role_title="Head\u200b of sales")
    assert "“Head[zero width space] of sales”" in world.ledger(ann).altered["role_title"]["reason"]

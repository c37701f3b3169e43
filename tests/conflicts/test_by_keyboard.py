"""Ten conflicts of mixed kinds, made as they come about, by looks at a sandbox; settled with the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.records import blocked_fields
from tests.conflicts.test_refused import page_of, refuse
from tests.conflicts.test_screen import LIST
from tests.lifecycle.conftest import quiet_passes, take_away
from tests.lifecycle.test_candidates import twins
from tests.support.pages import press
from tests.support.world import World, mail

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db(transaction=True)]
BOTH = {"role_title": "Old", "notes": "Old"}


def clash(world: World, name: str, **fields: str) -> Contact:
    """A contact of which each of these fields was changed on both sides."""
    made = world.linked(name, **BOTH)
    for column in fields:
        value = {"text": "Monday's"} if column == "notes" else "Monday's"
        world.edit(made, column, value)
    Contact.objects.filter(pk=made.pk).update(**fields)
    world.work()
    return made


def gone(world: World) -> Contact:
    """A contact that was edited in NPD, and whose item was archived meanwhile."""
    made = world.linked("gone there", role_title="Boss")
    take_away(world, made)
    Contact.objects.filter(pk=made.pk).update(role_title="Chair")
    quiet_passes(world)
    return made


def which_item(world: World) -> Contact:
    """A contact whose email two items on the board have."""
    for _ in range(2):
        world.add("which item", email=mail("two@example.com"))
    made = world.contact("which item", email="two@example.com")
    world.work()
    return made


def both(world: World, made: Contact, key: str) -> tuple[str, str]:
    """What the field says in NPD and on Monday."""
    made.refresh_from_db()
    return str(getattr(made, key)), world.values(made)[key]


def chosen_screen(page: Page, address: str) -> None:
    page.wait_for_url(lambda url: address in url)
    page.locator("[data-summary]").wait_for()


def test_ten_conflicts_that_came_about_are_settled_by_keys_alone_at_most_three_each(
    world: World, ada: User, open_page: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The screen of the first, then nothing but the keys that its help names; then the worker works."""
    npd, monday, agreed = (clash(world, name, role_title="NPD's") for name in ("is right", "is wrong", "neither"))
    each = clash(world, "one each", role_title="NPD's", notes="NPD's")
    all_monday = clash(world, "all Monday", role_title="NPD's", notes="NPD's")
    lost = world.linked("an edit was lost", role_title="Old")
    world.overwrite(lost)
    world.hear()
    away = gone(world)
    known, made = twins(world)
    bad = refuse(world, "refused", "was@example.com")
    asked = which_item(world)  # the last: its items are nobody's, and would be asked about once more
    waiting = list(SyncConflict.objects.filter(resolved_at=None).order_by("detected_at", "id"))
    keys: dict[Any, list[str]] = {
        npd.pk: ["a"], monday.pk: ["3"], agreed.pk: ["2"], each.pk: ["1", "3"], all_monday.pk: ["m"],
        lost.pk: ["3"], away.pk: ["1"], asked.pk: ["1"], made.pk: ["1"], bad.pk: ["3"],
    }  # fmt: skip
    assert {one.entity_id for one in waiting} == set(keys) - {bad.pk}
    assert len(waiting) == 9, [(one.kind, one.npd_data, one.monday_data) for one in waiting]
    assert {one.kind for one in waiting} == {"fields", "overwritten", "delete", "identity"}
    address = {one.entity_id: f"{one.pk}/screen/" for one in waiting} | {bad.pk: page_of(bad)}
    walk = [*(one.entity_id for one in waiting), bad.pk]

    page, errors = open_page()
    page.goto(f"{LIST}{address[walk[0]]}")
    counted = []
    for number, pk in enumerate(walk, start=1):
        chosen_screen(page, address[pk])
        assert page.get_by_text(f"1 of {len(walk) - number + 1}", exact=True).is_visible()
        counted.append(press(page, *keys[pk], "Enter"))
        if pk == made.pk:  # one of the two is deleted, which asks once more
            page.locator("#npd-asked").wait_for()
            confirm = page.get_by_role("button", name="The same as").and_(page.locator(":focus"))
            while not confirm.count():
                counted[-1] += press(page, "Tab")
            counted[-1] += press(page, "Enter")
        page.wait_for_url(lambda url, left=address[pk]: left not in url or "answered=" in url)
    page.get_by_text("as on Monday, as Ada chose").wait_for()
    with capsys.disabled():
        print(f"\n{len(walk)} conflicts settled with {sum(counted)} keys, at most {max(counted)} for one")
    assert sum(counted) <= 3 * len(walk)

    world.work()
    world.work()
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
    assert not blocked_fields.rejected_values(1)
    assert both(world, npd, "role_title") == ("NPD's", "NPD's")
    assert both(world, monday, "role_title") == ("Monday's", "Monday's")
    assert both(world, agreed, "role_title") == ("Old", "Old")
    assert both(world, each, "role_title") == ("NPD's", "NPD's")
    assert both(world, each, "notes") == ("Monday's", "Monday's")
    assert both(world, all_monday, "notes") == ("Monday's", "Monday's")
    assert both(world, lost, "role_title") == ("Theirs", "Theirs")
    assert both(world, away, "role_title") == ("Chair", "Chair")
    assert world.item(away)["state"] == "active"
    assert world.item(asked)["name"] == "which item"
    assert list(Contact.objects.filter(email="ann@example.com")) == [known]
    assert both(world, bad, "email") == ("was@example.com", "was@example.com")
    assert not errors

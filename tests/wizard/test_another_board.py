"""Another board for records that have items: what becomes of the links, and the plan is what happens."""

from typing import Any

import pytest

from npd.models import Contact
from sync.models import BoardLink, SyncMetadata
from sync.operations.setup import board_setup
from tests.support.world import mail
from tests.wizard.conftest import PEOPLE, Wizard, a_board, an_item, later, started

WITH_NPD_ID = (*PEOPLE, ("npd_id", "NPD ID", "text"))


def settle(wizard: Wizard) -> None:
    for seconds in (20, 120, 400):
        later(wizard.monday, seconds)
        wizard.drain()


def items_of(wizard: Wizard, board: str) -> dict[str, dict[str, Any]]:
    [shown] = [shown for shown in wizard.monday.boards() if shown["id"] == board]
    return {item["id"]: item for item in shown["items"] if item["state"] == "active"}


def duplicated(wizard: Wizard, board: str) -> str:
    """A copy of the board with the values of its items, as Monday's “Duplicate board” makes it."""
    copy = a_board(wizard.monday, "Copy", *WITH_NPD_ID)
    for item in items_of(wizard, board).values():
        values = item["values"] | {"mail": mail(item["values"]["mail"])}
        an_item(wizard.monday, copy, item["name"], **{key: values[key] for key in ("mail", "job", "npd_id")})
    return copy


def first_board(wizard: Wizard, *names: str) -> str:
    """A board with a linked item for each of these contacts."""
    for name in names:
        Contact.objects.create(name=name, email=f"{name.lower()}@x.org", role_title="Boss")
    board = a_board(wizard.monday, "First", *WITH_NPD_ID)
    wizard.planned(board)
    wizard.apply()
    settle(wizard)
    assert Contact.objects.filter(sync_status="synced").count() == len(names)
    return board


def linked() -> dict[str, str | None]:
    return dict(Contact.objects.values_list("name", "monday_id"))


def test_a_duplicated_board_is_linked_by_npd_id_and_the_first_one_stays_as_it_is(wizard: Wizard) -> None:
    first = first_board(wizard, "Ann", "Bob")
    copy = duplicated(wizard, first)
    before = items_of(wizard, first)
    page = wizard.boards(contact=copy)
    assert "Unlink" not in page
    plan = wizard.planned(copy)
    assert wizard.plan_shown() == {"link": 2}
    assert (plan.left_board, plan.left_links) == (first, 2)
    wizard.apply()
    settle(wizard)
    assert set(linked().values()) == set(items_of(wizard, copy))
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert items_of(wizard, first) == before
    hooks = wizard.monday.control("webhooks", "GET")["webhooks"]
    assert {hook["board_id"] for hook in hooks} == {copy}


def test_back_on_the_first_board_values_that_differ_are_first_matches_by_the_plans_rule(wizard: Wizard) -> None:
    first = first_board(wizard, "Ann", "Bob", "Cleo")
    own = linked()
    wizard.planned(duplicated(wizard, first))
    wizard.apply()
    settle(wizard)
    Contact.objects.filter(name="Ann").update(role_title="Chair")
    settle(wizard)
    wizard.monday.act("edit", item_id=own["Bob"], column_id="job", value="Buyer")
    plan = wizard.planned(first, first_match="npd_wins")
    names = {str(pk): name for pk, name in Contact.objects.values_list("pk", "name")}
    assert {names[key] for key in plan.ids("push")} == {"Ann", "Bob"}
    wizard.apply()
    settle(wizard)
    assert linked() == own
    assert {item["name"]: item["values"]["job"] for item in items_of(wizard, first).values()} == {
        "Ann": "Chair",
        "Bob": "Boss",
        "Cleo": "Boss",
    }


@pytest.mark.parametrize("step", ["delete_former_webhooks", "register_webhooks", "board_columns.inspect_board"])
def test_a_worker_killed_during_the_switch_is_followed_by_another(
    wizard: Wizard, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Died(BaseException):
        """Stands for kill -9."""

    def dies(*arguments: object, **options: object) -> None:
        raise Died

    first = first_board(wizard, "Ann", "Bob")
    before = items_of(wizard, first)
    copy = duplicated(wizard, first)
    Contact.objects.create(name="New", email="new@x.org")
    wizard.planned(copy)
    wizard.start()
    with monkeypatch.context() as patched:
        patched.setattr(f"{board_setup.__name__}.{step}", dies)
        with pytest.raises(Died):
            wizard.work()
    wizard.drain()
    wizard.work()
    assert started()["state"] == "done", started()
    settle(wizard)
    assert items_of(wizard, first) == before
    assert len(items_of(wizard, copy)) == 3
    assert set(linked().values()) == set(items_of(wizard, copy))
    hooks = wizard.monday.control("webhooks", "GET")["webhooks"]
    assert {hook["board_id"] for hook in hooks} == {copy}
    assert set(BoardLink.objects.get(entity_type="contact").webhooks) == {hook["id"] for hook in hooks}


def test_what_was_open_about_the_items_of_the_board_that_is_left_ends(wizard: Wizard) -> None:
    first = first_board(wizard, "Ann", "Gone", "Clash")
    wizard.monday.act("edit", item_id=linked()["Clash"], column_id="job", value="Buyer")
    Contact.objects.filter(name="Clash").update(role_title="Chair")
    wizard.monday.act("archive", item_id=linked()["Gone"])
    Contact.objects.get(name="Ann").delete()
    copy = duplicated(wizard, first)
    wizard.planned(copy)
    wizard.apply()
    settle(wizard)
    copied = {item["name"]: item["id"] for item in items_of(wizard, copy).values()}
    assert linked()["Clash"] == copied["Clash"]
    # Ann's item on the first board stays, and its copy brings her back to nobody.
    assert set(linked()) == {"Gone", "Clash"}
    assert set(copied) == {"Ann", "Clash", "Gone"}
    assert not SyncMetadata.objects.exclude(removed_since=None).exists()

"""Existing boards: their columns are used, none is made unannounced, and nobody is made twice."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management.base import CommandError

from npd.models import Contact
from sync import registry
from sync.choices import Cause, UnmatchedReason
from sync.models import BoardLink, FieldMapping, UnmatchedItem
from sync.monday.board_items import Board, BoardColumn
from sync.operations.setup.board_setup import check_board
from sync.operations.setup.selection import NEW_COLUMN, Choices, ChosenBoard
from sync.operations.sweep import enqueue_items
from tests.support.sandbox import Sandbox
from tests.support.world import World, mail

Run = Callable[..., str]


def suggested(*columns: tuple[str, str, str], boards: dict[str, str] | None = None) -> dict[str, str]:
    return suggested_for("contact", *columns, boards=boards)


def suggested_for(kind: str, *columns: tuple[str, str, str], boards: dict[str, str] | None = None) -> dict[str, str]:
    board = Board("7", "CRM", "active", {}, tuple(BoardColumn(*column) for column in columns))
    chosen = ChosenBoard(Choices(kind, "7", "CRM", {}), board, boards or {})
    return chosen.suggested_columns(registry.entity(kind).mappings)


@pytest.mark.django_db
def test_the_fields_own_title_comes_before_a_known_one_and_that_before_the_only_column_of_a_type() -> None:
    assert suggested(("a", "Funktion", "text"))["role_title"] == "a"
    assert suggested(("a", "Funktion", "text"), ("c", "Role", "text"))["role_title"] == "c"
    assert suggested(("x", "Anything", "phone"))["phone"] == "x"
    assert suggested(("x", "Work", "phone"), ("y", "Home", "phone"))["phone"] == NEW_COLUMN
    assert suggested(("x", "Work", "phone"), ("y", "tel.", "phone"))["phone"] == "y"
    assert suggested(("x", "Fax", "phone"), ("y", "Tél. portable", "phone"))["phone"] == "y"
    assert suggested(("x", "LinkedIn", "text"), ("y", "Intitulé du poste", "text"))["role_title"] == "y"


@pytest.mark.django_db
def test_the_only_column_of_a_type_is_not_taken_where_its_title_is_another_fields() -> None:
    for title in ("Company", "Email", "E-mail", "Notes", "Phone", "Ville", "City", "PLZ", "Website", "Apellidos"):
        assert suggested(("x", title, "text"))["role_title"] == NEW_COLUMN, title


@pytest.mark.django_db
@pytest.mark.parametrize("title", ["Adresse", "Anschrift", "Indirizzo", "Dirección", "Adres", "住所"])
def test_an_organizations_address_is_known_by_its_title_too(title: str) -> None:
    assert suggested_for("organization", ("x", title, "text"), ("y", "Branche", "text"))["address"] == "x"


@pytest.mark.django_db
def test_a_second_column_is_made_only_with_a_word_about_the_others(monday: Sandbox, run: Run, settings: Any) -> None:
    columns = (("x", "Work", "phone"), ("y", "Home", "phone"))
    settings.MONDAY_CONTACTS_BOARD_ID = monday.add_board("Contacts that we had", *columns)
    assert "no field uses the columns “Work” (Phone) and “Home” (Phone)" in run("monday_setup")
    assert "no field uses" not in run("monday_setup")


TWO_MAILS = (("work", "Work mail", "email"), ("home", "Home mail", "email"))


def five_people(world: World, board: str, column: str) -> None:
    for number in range(5):
        address = f"p{number}@example.com"
        world.sandbox.act("add", board_id=board, name=f"P{number}", values={column: mail(address)} if column else {})
        Contact.objects.create(name=f"P{number}", email=address)


def items_of(world: World, board: str) -> list[str]:
    board_row = next(candidate for candidate in world.sandbox.boards() if candidate["id"] == board)
    return sorted(item["name"] for item in board_row["items"])


def set_up() -> Any:
    from sync.limits import metered_client
    from sync.operations.setup.board_setup import set_up as set_up_one

    return set_up_one(registry.entity("contact"), metered_client.connector())


def unrecognized_board(world: World, settings: Any, *columns: tuple[str, str, str], mails_in: str = "work") -> str:
    """A board of five people known to NPD, whose match column is new; return its id."""
    board = world.sandbox.add_board("Contacts that we had", *columns)
    settings.MONDAY_CONTACTS_BOARD_ID = board
    five_people(world, board, mails_in)
    outcome = set_up()
    assert any("it creates nothing new on either side" in problem for problem in outcome.problems)
    return board


def test_nothing_is_created_while_nobody_on_the_board_can_be_recognized(world: World, settings: Any) -> None:
    board = unrecognized_board(world, settings, *TWO_MAILS)
    reason = BoardLink.objects.get(entity_type="contact").creates_held
    assert "5 items on the board have no NPD ID" in reason
    BoardLink.objects.update(creates_records=True)
    link = BoardLink.objects.get(entity_type="contact")
    shown_board = next(candidate for candidate in world.sandbox.boards() if candidate["id"] == board)
    enqueue_items(link, [item["id"] for item in shown_board["items"]], cause=Cause.SWEEP)
    world.work(minutes=30)
    assert len(items_of(world, board)) == Contact.objects.count() == 5
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"pending"}
    assert world.sync_state(Contact.objects.all()[0]).note == reason
    assert UnmatchedItem.objects.values_list("reason_code", flat=True)[0] == UnmatchedReason.CREATES_HELD


def test_choosing_the_right_column_ends_it_and_links_everybody(world: World, settings: Any) -> None:
    board = unrecognized_board(world, settings, *TWO_MAILS)
    FieldMapping.objects.filter(key="email").update(column_id="work")
    assert "is empty" not in check_board(BoardLink.objects.get(entity_type="contact"))
    world.work(minutes=10)
    assert len(items_of(world, board)) == 5
    assert set(Contact.objects.exclude(monday_id=None).values_list("sync_status", flat=True)) == {"synced"}


def test_an_item_that_is_filled_in_ends_it(world: World, settings: Any) -> None:
    board = unrecognized_board(world, settings, *TWO_MAILS, mails_in="")
    link = BoardLink.objects.get(entity_type="contact")
    column = FieldMapping.objects.get(key="email", link=link).column_id
    first = next(candidate for candidate in world.sandbox.boards() if candidate["id"] == board)["items"][0]
    world.sandbox.act("edit", item_id=first["id"], column_id=column, value=mail("p0@example.com"))
    enqueue_items(link, [first["id"]], cause=Cause.SWEEP)
    world.work(link, minutes=30)
    assert not link.creates_held
    assert Contact.objects.get(name="P0").monday_id == first["id"]


def test_an_administrator_may_have_new_ones_created(world: World, settings: Any, admin_client: Any) -> None:
    board = unrecognized_board(world, settings, *TWO_MAILS, mails_in="")
    link = BoardLink.objects.get(entity_type="contact")
    page = f"/admin/sync/boardlink/{link.pk}/"
    assert link.creates_held.split(",")[0] in admin_client.get(f"{page}change/").content.decode()
    admin_client.post("/admin/home/act/", {"act_and_key": "create_anyway board:contact:creates_held"})
    world.work(minutes=10)
    assert len(items_of(world, board)) == 10
    set_up()
    assert not BoardLink.objects.get(entity_type="contact").creates_held


@pytest.mark.django_db
def test_the_command_says_why_and_goes_on_with_the_rest(monday: Sandbox, run: Run, settings: Any) -> None:
    settings.MONDAY_CONTACTS_BOARD_ID = board = monday.add_board("Contacts that we had", *TWO_MAILS)
    monday.act("add", board_id=board, name="P", values={"work": mail("p@example.com")})
    with pytest.raises(CommandError, match="is empty for all of them"):
        run("monday_setup")
    assert BoardLink.objects.get(entity_type="contact").webhooks


def test_an_item_without_an_email_on_a_board_that_is_synced_holds_nothing(world: World) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    world.sandbox.act("add", board_id=link.board_id, name="Not filled in yet")
    set_up()
    assert not BoardLink.objects.get(entity_type="contact").creates_held

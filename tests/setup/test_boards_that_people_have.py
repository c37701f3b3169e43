"""Existing boards: their columns are used, none is made unannounced, and nobody is made twice."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import transaction

from conflicts.models import SyncConflict
from conflicts.pages.resolution import current_values, resolve
from conflicts.reports import RECORD_KEY, FieldSelection
from npd.models import Contact
from sync import attention, registry
from sync.boards.board_columns import recheck_hold
from sync.choices import Cause, UnmatchedReason
from sync.models import BoardLink, FieldMapping, UnmatchedItem
from sync.monday.board_items import Board, BoardColumn
from sync.operations.setup.board_setup import check_board
from sync.operations.setup.selection import NEW_COLUMN, Choices, ChosenBoard
from sync.operations.sweep import enqueue_items
from sync.records.item_links import UnmatchedFinding, ignore_unmatched, note_unmatched
from tests.admin.forms import answer_to_question
from tests.support.sandbox import Sandbox
from tests.support.words import said
from tests.support.world import World, mail

Run = Callable[..., str]


def suggested(*columns: tuple[str, str, str], kind: str = "contact") -> dict[str, str]:
    board = Board("7", "CRM", "active", {}, tuple(BoardColumn(*column) for column in columns))
    chosen = ChosenBoard(Choices(kind, "7", "CRM", {}), board, {})
    return chosen.suggested_columns(registry.entity(kind).mappings)


@pytest.mark.django_db
def test_the_fields_own_title_comes_before_a_known_one_and_that_before_the_only_column_of_a_type() -> None:
    assert suggested(("a", "Funktion", "text"))["role_title"] == "a"
    assert suggested(("a", "Funktion", "text"), ("c", "Role", "text"))["role_title"] == "c"
    assert suggested(("x", "Anything", "phone"))["phone"] == "x"
    assert suggested(("x", "Work", "phone"), ("y", "Home", "phone"))["phone"] == NEW_COLUMN
    assert suggested(("x", "E-Mail privat", "email"), ("y", "Work email", "email"))["email"] == NEW_COLUMN
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
    assert suggested(("x", title, "text"), ("y", "Branche", "text"), kind="organization")["address"] == "x"


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


def shown_board(world: World, board: str) -> Any:
    return next(candidate for candidate in world.sandbox.boards() if candidate["id"] == board)


def items_of(world: World, board: str) -> list[str]:
    return sorted(item["name"] for item in shown_board(world, board)["items"])


def statuses() -> dict[str, int]:
    return dict(Counter(Contact.objects.values_list("sync_status", flat=True)))


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
    held = BoardLink.objects.get(entity_type="contact").creates_held
    assert held
    assert any(held in problem for problem in outcome.problems)
    return board


def test_nothing_is_created_while_nobody_on_the_board_can_be_recognized(world: World, settings: Any) -> None:
    zoe = Contact.objects.create(name="Zoe", email="zoe@example.com")
    board = unrecognized_board(world, settings, *TWO_MAILS)
    reason = BoardLink.objects.get(entity_type="contact").creates_held
    assert "5 items on the board" in reason
    BoardLink.objects.update(creates_records=True)
    link = BoardLink.objects.get(entity_type="contact")
    enqueue_items(link, [item["id"] for item in shown_board(world, board)["items"]], cause=Cause.SWEEP)
    world.work(zoe, minutes=30)
    assert (len(items_of(world, board)), Contact.objects.count()) == (5, 6)
    assert zoe.sync_status == "pending"
    assert "nothing new is created" in world.sync_state(zoe).note
    assert statuses() == {"pending": 1, "conflict": 5}, "those with an item's name are asked about"
    assert set(UnmatchedItem.objects.values_list("reason_code", flat=True)) == {UnmatchedReason.AMBIGUOUS}


def test_choosing_the_right_column_ends_it_and_links_everybody(world: World, settings: Any) -> None:
    board = unrecognized_board(world, settings, *TWO_MAILS)
    FieldMapping.objects.filter(key="email").update(column_id="work")
    assert "is empty" not in check_board(BoardLink.objects.get(entity_type="contact"))
    world.work(minutes=10)
    assert len(items_of(world, board)) == 5
    assert statuses() == {"synced": 5}
    assert not SyncConflict.objects.filter(resolved_at=None).exists()


def test_it_ends_once_each_item_is_filled_in_archived_or_ignored(world: World, settings: Any) -> None:
    zoe = Contact.objects.create(name="Zoe", email="zoe@example.com")
    board = unrecognized_board(world, settings, *TWO_MAILS, mails_in="")
    link = BoardLink.objects.get(entity_type="contact")
    column = FieldMapping.objects.get(key="email", link=link).column_id
    items = {item["name"]: item["id"] for item in shown_board(world, board)["items"]}
    world.work()
    for number, name in enumerate(("P0", "P1")):
        address = f"p{number}@example.com"
        world.sandbox.act("edit", item_id=items[name], column_id=column, value=mail(address))
        world.hear(link, minutes=3)
        world.hear()
        assert link.creates_held.startswith(f"{4 - number} items on the board ")
    assert statuses() == {"synced": 2, "conflict": 3, "pending": 1}
    # An address of nobody: it is still asked about.
    world.sandbox.act("edit", item_id=items["P2"], column_id=column, value=mail("nobody@example.com"))
    world.sandbox.act("archive", item_id=items["P3"])
    world.hear(link, minutes=3)
    assert link.creates_held.startswith("1 item on the board ")
    ignore_unmatched(UnmatchedItem.objects.filter(item_id=items["P4"]), "Ada")
    world.work(link, zoe, minutes=3)
    world.hear(zoe, minutes=3)
    assert (link.creates_held, zoe.sync_status) == ("", "synced")
    assert items_of(world, board) == ["P0", "P1", "P2", "P3", "P3", "P4", "P4", "Zoe"]
    assert statuses() == {"synced": 5, "conflict": 1}


def test_what_no_pass_has_read_yet_changes_nothing_about_it(world: World, settings: Any) -> None:
    unrecognized_board(world, settings, *TWO_MAILS, mails_in="")
    link = BoardLink.objects.get(entity_type="contact")
    note_unmatched(link, [UnmatchedFinding(str(number), "New") for number in range(9)])
    recheck_hold(link)
    link.refresh_from_db()
    assert link.creates_held.startswith("5 items on the board")


def test_it_ends_also_if_the_pass_that_ended_it_was_stored_again(world: World, settings: Any) -> None:
    unrecognized_board(world, settings, *TWO_MAILS, mails_in="")
    link = BoardLink.objects.get(entity_type="contact")
    UnmatchedItem.objects.all().delete()
    with transaction.atomic():
        recheck_hold(link)
        transaction.set_rollback(True)
    recheck_hold(link)
    assert not BoardLink.objects.get(entity_type="contact").creates_held


def test_it_ends_with_an_item_that_was_listed_while_it_was_being_linked(world: World) -> None:
    link = world.link()
    BoardLink.objects.update(creates_held=said("Nobody can be recognized."))
    item = world.sandbox.act("add", board_id=link.board_id, name="Ann")["id"]
    enqueue_items(link, [item], cause=Cause.SWEEP)
    Contact.objects.create(name="Ann", monday_id=item)
    UnmatchedItem.objects.create(entity_type="contact", board_id=link.board_id, item_id=item)
    world.work(link)
    assert not link.creates_held


def test_an_administrator_may_have_new_ones_created(world: World, settings: Any, admin_client: Any) -> None:
    board = unrecognized_board(world, settings, *TWO_MAILS, mails_in="")
    link = BoardLink.objects.get(entity_type="contact")
    page = f"/admin/sync/boardlink/{link.pk}/"
    assert link.creates_held.split(",")[0] in admin_client.get(f"{page}change/").content.decode()
    Contact.objects.filter(name__in=("P3", "P4")).update(name="Somebody else")
    admin_client.post("/admin/home/act/", {"act_and_key": "create_anyway board:contact:creates_held"})
    world.work(minutes=10)
    assert len(items_of(world, board)) == 7
    assert statuses()["conflict"] == 3, "whatever the button says, those with an item's name are asked about"
    set_up()
    assert not BoardLink.objects.get(entity_type="contact").creates_held


def test_it_stays_while_its_column_is_missing(world: World, settings: Any) -> None:
    board = unrecognized_board(world, settings, *TWO_MAILS, mails_in="")
    link = BoardLink.objects.get(entity_type="contact")
    world.sandbox.delete_column(board, FieldMapping.objects.get(key="email", link=link).column_id)
    for item in shown_board(world, board)["items"]:
        world.sandbox.act("rename", item_id=item["id"], name=f"{item['name']} Smith")
    world.hear(minutes=1)
    world.hear(link, minutes=3)
    assert set(UnmatchedItem.objects.values_list("reason_code", flat=True)) == {UnmatchedReason.KEY_UNREADABLE}
    assert link.creates_held


def test_many_records_of_one_name_hide_no_other(world: World) -> None:
    board = world.link().board_id
    BoardLink.objects.update(creates_records=True, creates_held=said("Nobody can be recognized."))
    Contact.objects.bulk_create(Contact(name="John Smith") for _ in range(201))
    ann = Contact.objects.create(name="Ann")
    items = [world.sandbox.act("add", board_id=board, name=name)["id"] for name in ("John Smith", "Ann")]
    enqueue_items(world.link(), items, cause=Cause.SWEEP)
    world.hear(ann, minutes=30)
    assert Contact.objects.count() == 202


@pytest.mark.parametrize("filled", [0, 1, 30])
def test_nobody_is_made_twice_on_a_board_where_few_emails_are_filled_in(
    world: World, settings: Any, admin_client: Any, filled: int
) -> None:
    board = world.sandbox.add_board("Contacts that we had", ("bb", "Email", "email"))
    settings.MONDAY_CONTACTS_BOARD_ID = board
    for number in range(60):
        address = f"p{number}@example.com"
        values = {"bb": mail(address)} if number < filled else {}
        name = f"Person {number} Smith"
        world.sandbox.act("add", board_id=board, name=name if values else f"person  {number} SMITH", values=values)
        Contact.objects.create(name=name, email=address)
    set_up()
    calls = world.calls()
    for _ in range(3):
        world.hear(minutes=3)
    assert len(items_of(world, board)) == 60
    assert statuses() == ({"synced": filled} if filled else {}) | {"conflict": 60 - filled}
    assert world.calls() - calls <= 12
    # One group on Home, which is answered at once.
    [cause] = [group for group in attention.groups() if group.kind is attention.Kind.DUPLICATE]
    assert cause.number == 60 - filled
    assert f"Link {60 - filled} contacts with the items of their names…" in admin_client.get("/admin/").content.decode()
    form = {"action": "same_name", "cause": cause.cause, "back": "/admin/"}
    question = admin_client.post("/admin/home/act/", form).content.decode()
    admin_client.post("/admin/home/act/", answer_to_question(question))
    for _ in range(3):
        world.hear(minutes=3)
    assert (Contact.objects.filter(monday_id=None).count(), len(items_of(world, board))) == (0, 60)
    left = list(UnmatchedItem.objects.values("item_id", "reason_code", "values"))
    assert not BoardLink.objects.get(entity_type="contact").creates_held, left


def test_a_record_with_the_name_of_an_item_is_asked_about_whenever_it_comes(world: World, settings: Any) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    world.sandbox.act("add", board_id=link.board_id, name="ANN  Smith")
    world.hear(minutes=1)
    ann = world.contact("Ann Smith", email="ann@example.com")
    bob = world.contact("Bob", email="bob@example.com")
    world.work(ann, bob)
    assert (ann.sync_status, bob.monday_id is None) == ("conflict", False)
    world.hear(minutes=30)
    assert items_of(world, link.board_id) == ["ANN  Smith", "Bob"]
    assert Contact.objects.count() == 2, "nor does the item become a record"
    [conflict] = SyncConflict.objects.filter(resolved_at=None)
    selection = FieldSelection("new_item")
    seen = current_values(conflict)
    person = world.administrator("ada")
    resolve(conflict.pk, by=person, resolution_type="merge", selections={RECORD_KEY: selection}, seen=seen)
    world.work(ann, minutes=1)
    world.hear(minutes=30)
    assert items_of(world, link.board_id) == ["ANN  Smith", "Ann Smith", "Bob"]


@pytest.mark.django_db
def test_the_command_says_why_and_goes_on_with_the_rest(monday: Sandbox, run: Run, settings: Any) -> None:
    settings.MONDAY_CONTACTS_BOARD_ID = board = monday.add_board("Contacts that we had", *TWO_MAILS)
    monday.act("add", board_id=board, name="P", values={"work": mail("p@example.com")})
    with pytest.raises(CommandError, match="no NPD ID and no"):
        run("monday_setup")
    assert BoardLink.objects.get(entity_type="contact").webhooks


def test_an_item_without_an_email_on_a_board_that_is_synced_holds_nothing(world: World) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    world.sandbox.act("add", board_id=link.board_id, name="Not filled in yet")
    set_up()
    assert not BoardLink.objects.get(entity_type="contact").creates_held

"""Odd accounts: boards in other languages, people in other time zones."""

from datetime import date
from typing import Any

import pytest

from sync import registry
from sync.boards.board_setup import set_up
from sync.limits import metered_client
from sync.models import FieldMapping
from tests.engine.test_column_types import deal, sales, with_deals  # noqa: F401
from tests.support.world import World

SPANISH = [
    ("cargo", "Cargo", "text"),
    ("correo", "Correo electrónico", "email"),
    ("telefono", "Teléfono", "phone"),
    ("notas", "Notas", "long_text"),
]
GERMAN = [
    ("pos", "Position", "text"),
    ("mail", "E-Mail", "email"),
    ("tel", "Telefon", "phone"),
    ("notiz", "Notizen", "long_text"),
]
DUTCH = [
    ("functie", "Functie", "text"),
    ("mail", "E-mailadres", "email"),
    ("tel", "Telefoon", "phone"),
    ("notes", "Opmerkingen", "long_text"),
]
JAPANESE = [
    ("yakushoku", "役職", "text"),
    ("mail", "メール", "email"),
    ("tel", "電話", "phone"),
    ("memo", "メモ", "long_text"),
]


@pytest.mark.parametrize(
    ("language", "columns"),
    [("Spanish", SPANISH), ("German", GERMAN), ("Dutch", DUTCH), ("Japanese", JAPANESE)],
    ids=["es", "de", "nl", "ja"],
)
def test_a_board_in_another_language_gets_no_second_columns(
    world: World, settings: Any, language: str, columns: Any
) -> None:
    board = world.sandbox.add_board("Contactos", *columns)
    settings.MONDAY_CONTACTS_BOARD_ID = board
    set_up(registry.entity("contact"), metered_client.connector())
    print(language, dict(FieldMapping.objects.filter(link__entity_type="contact").values_list("key", "column_id")))
    shown = next(b for b in world.sandbox.boards() if b["id"] == board)
    print("   columns", [c["title"] for c in shown["columns"]])
    assert len(shown["columns"]) <= len(columns) + 2


def test_the_day_that_people_see(sales: World) -> None:  # noqa: F811
    """Somebody in Tokyo enters 1 February 2026, 08:00; the API has 31 January, 23:00 (community 93685, 69818)."""
    record = deal(sales, due=date(2026, 1, 20))
    sales.edit(record, "due", {"date": "2026-01-31", "time": "23:00:00"})
    sales.hear(record)
    print("NPD HAS", record.due)
    record.due = date(2026, 2, 3)
    record.save()
    sales.work()
    print("THE BOARD HAS (UTC)", sales.values(record)["due"], "which Tokyo sees as 4 February, 08:00")
    assert record.due == date(2026, 2, 1)


@pytest.mark.parametrize(
    "columns",
    [
        [("mail", "E-Mail", "email"), ("tel", "Telefon", "phone")],
        [("mail", "Email address", "email"), ("tel", "Mobile phone", "phone")],
        [("correo", "Correo electrónico", "email"), ("telefono", "Teléfono", "phone")],
    ],
    ids=["German", "English", "Spanish"],
)
def test_people_who_are_on_that_board_are_not_made_again(world: World, settings: Any, columns: Any) -> None:
    from npd.models import Contact

    board = world.sandbox.add_board("Contacts that we had", *columns)
    email = columns[0][0]
    settings.MONDAY_CONTACTS_BOARD_ID = board
    for n in range(5):
        world.sandbox.act(
            "add",
            board_id=board,
            name=f"P{n}",
            values={email: {"email": f"p{n}@example.com", "text": f"p{n}@example.com"}},
        )
        Contact.objects.create(name=f"P{n}", email=f"p{n}@example.com")
    set_up(registry.entity("contact"), metered_client.connector())
    for _ in range(4):
        world.work(minutes=3)
    shown = next(b for b in world.sandbox.boards() if b["id"] == board)
    print("COLUMNS", [c["title"] for c in shown["columns"]], "ITEMS", sorted(i["name"] for i in shown["items"]))
    assert len(shown["items"]) == 5


def test_the_command_says_what_it_does(world: World, settings: Any, capsys: Any) -> None:
    from django.core.management import call_command

    from npd.models import Contact

    board = world.sandbox.add_board(
        "Contacts that we had",
        ("mail", "Email address", "email"),
        ("tel", "Mobile phone", "phone"),
        ("job", "Job title", "text"),
    )
    settings.MONDAY_CONTACTS_BOARD_ID = board
    for n in range(5):
        world.sandbox.act(
            "add",
            board_id=board,
            name=f"P{n}",
            values={"mail": {"email": f"p{n}@example.com", "text": f"p{n}@example.com"}},
        )
        Contact.objects.create(name=f"P{n}", email=f"p{n}@example.com")
    try:
        call_command("monday_setup")
    except SystemExit as end:
        print("EXIT", end.code)
    out = capsys.readouterr().out
    for _ in range(4):
        world.work(minutes=3)
    shown = next(b for b in world.sandbox.boards() if b["id"] == board)
    with capsys.disabled():
        print("\nCOMMAND SAID", [line for line in out.splitlines() if "[info" not in line and "event" not in line][:25])
        print("COLUMNS", [c["title"] for c in shown["columns"]], "ITEMS", len(shown["items"]))
    assert len(shown["items"]) == 5

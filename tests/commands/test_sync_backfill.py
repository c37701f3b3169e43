"""manage.py sync_backfill as a person runs it."""

import io
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from npd.models import Contact
from sync.models import Backfill
from tests.backfill.conftest import Import, bulk

__all__ = ["bulk"]


class Terminal(io.StringIO):
    """An output that is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch, bulk: Import) -> list[float]:
    """Waits move the clock."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        bulk.world.pass_time(seconds=seconds + 0.1)

    monkeypatch.setattr("sync.management.commands.sync_backfill.time", type("t", (), {"sleep": staticmethod(sleep)}))
    return waited


def said(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("sync_backfill", *arguments, stdout=out, **options)
    return out.getvalue()


def test_with_yes_it_is_done_and_reported(bulk: Import) -> None:
    bulk.contacts(5)
    text = said("--yes")
    assert "5 of 5 rows have their item (5 created)." in text
    assert "Organizations: every record that may sync has its item" in text
    assert Contact.objects.filter(sync_status="synced").count() == 5


def test_without_a_terminal_and_without_yes_nothing_is_written(bulk: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk.contacts(1)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(CommandError, match="add --yes"):
        said("contact")
    assert not Backfill.objects.exists()


@pytest.mark.parametrize(("answer", "made"), [("n", 0), ("", 0), ("y", 2), ("Yes", 2)])
def test_at_a_terminal_it_asks_first(bulk: Import, monkeypatch: pytest.MonkeyPatch, answer: str, made: int) -> None:
    bulk.contacts(2)
    monkeypatch.setattr(sys, "stdin", Terminal())
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return answer

    monkeypatch.setattr("builtins.input", ask)
    text = said("contact")
    assert "API calls" in questions[0]
    assert ("Nothing was written." in text) == (made == 0)
    assert len(bulk.on_board()) == made


def test_a_terminal_gets_a_bar_that_fills(bulk: Import) -> None:
    bulk.contacts(3)
    out = Terminal()
    call_command("sync_backfill", "contact", "--yes", stdout=out)
    assert "█" in out.getvalue()
    assert "Monday is done" in out.getvalue()


def test_resume_without_anything_open_says_so(bulk: Import) -> None:
    assert "no backfill is open" in said("contact", "--resume")


def test_an_open_backfill_is_named_with_the_way_on(bulk: Import) -> None:
    Backfill.objects.create(entity_type="contact", board_id=bulk.world.board_id())
    with pytest.raises(CommandError, match="--resume"):
        said("contact", "--yes")
    assert "taking up the backfill" in said("contact", "--resume")
    assert Backfill.objects.get().state == "done"


def test_an_unknown_type_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CommandError, match="organization"):
        said("sprint")


def test_a_rejected_import_ends_with_an_error_and_its_reason(bulk: Import) -> None:
    bulk.contacts(2)
    bulk.world.sandbox.query(
        'mutation ($b: ID!) { delete_column(board_id: $b, column_id: "notes") { id } }', b=bulk.world.board_id()
    )
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("sync_backfill", "contact", "--yes", stdout=out)
    assert "no column 'notes'" in out.getvalue()
    bulk.world.work()
    assert len(bulk.on_board()) == 2

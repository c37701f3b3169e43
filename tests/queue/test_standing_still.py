"""Why rows wait where several things hold them at once: what lasts longest is what is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sync import budget, pausing
from sync.account import account
from sync.admin.queue_words import by_direction
from sync.boards import link_of
from sync.clock import sync_now
from sync.models import BoardLink, QueuePause
from sync.standstill import Standstill, standstill, why_waits
from tests.admin import states

pytestmark = pytest.mark.django_db

GATHERS = "Changes of this board go out together."


@pytest.fixture(autouse=True)
def boards(settings: Any) -> None:
    """Boards that could be worked."""
    settings.MONDAY_API_KEY = "token-that-no-page-may-show"
    states.boards()


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> Standstill:
    """Every board gathers changes for a minute more."""
    found = Standstill(GATHERS, sync_now() + timedelta(minutes=1), passing=True)
    monkeypatch.setattr(budget, "held", lambda link, *, urgent=False: found)
    return found


@pytest.mark.parametrize(("of_account", "of_board"), [(5, 20), (20, 5)])
def test_of_two_errors_the_one_that_lasts_longer_gives_the_sentence_and_the_time(
    of_account: int, of_board: int
) -> None:
    now, row = sync_now(), account()
    until = {"Monday asks to wait.": of_account, "The board was archived.": of_board}
    row.paused_until, row.pause_reason = now + timedelta(minutes=of_account), "Monday asks to wait."
    row.save()
    BoardLink.objects.filter(entity_type="contact").update(
        blocked_until=now + timedelta(minutes=of_board), blocked_reason="The board was archived."
    )
    found = standstill("contact", link_of("contact"))
    said = max(until, key=lambda reason: until[reason])
    assert found.until == now + timedelta(minutes=20)
    assert found.words.startswith(said)
    assert f"{found.until:%M:%S}" in found.words


def test_a_paused_direction_of_a_board_that_gathers_says_the_pause(gathering: Standstill) -> None:
    pausing.pause("ann", entity_type="contact", direction="to_monday")
    held = by_direction("contact", gathering, pausing.by_direction("contact"))
    assert "by ann" in held["contact", "to_monday"].words
    assert held["contact", "to_monday"].until is None
    assert held["contact", "to_npd"] == gathering
    said = why_waits("contact")
    assert GATHERS in said
    assert "by ann" in said


def test_what_is_wrong_with_a_board_comes_before_a_paused_direction() -> None:
    wrong = Standstill("The board was archived.")
    paused = {"to_monday": QueuePause(direction="to_monday", paused_by="ann", why="", paused_at=sync_now())}
    assert set(by_direction("contact", wrong, paused).values()) == {wrong}

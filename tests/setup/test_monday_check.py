"""`monday_check` against the sandbox, over HTTP; what is wrong with account and boards is in test_doctor.py."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from sync.clock import SyncNow
from sync.management.commands import monday_check
from sync.models import BoardLink, SyncQueue
from tests.admin import states
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.django_db

Run = Callable[..., str]


@pytest.fixture
def set_up(monday: Sandbox, run: Run) -> BoardLink:
    """Boards as the set-up leaves them."""
    run("monday_setup")
    return BoardLink.objects.get(entity_type="contact")


def results(level: str) -> list[tuple[str, str]]:
    """Topic and message of all that was found on this level."""
    return [(result.subject, result.message) for result in monday_check.run_checks() if result.level == level]


def subjects(level: str) -> list[str]:
    return sorted(subject for subject, _ in results(level))


def test_after_the_set_up_everything_is_well(set_up: BoardLink, monday: Sandbox, run: Run, settings: Any) -> None:
    def state() -> Any:
        return monday.boards(), monday.control("webhooks", "GET")["webhooks"], list(BoardLink.objects.values())

    before, output = state(), run("monday_check")
    report = json.loads(run("monday_check", "--json"))
    assert state() == before
    assert all(line.startswith("ok") for line in output.splitlines()[:-1])
    assert (report["ok"], report["counts"]["problem"]) == (True, 0)
    assert {"token", "version", "plan", "board", "columns", "webhooks", "queue"} <= {
        result["subject"] for result in report["results"]
    }
    assert settings.MONDAY_WEBHOOK_TOKEN not in output + str(report)


def test_webhooks_to_a_former_address_or_without_any_secret_are_a_problem(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = "a-new-token"
    assert set(subjects("problem")) == {"webhooks"}
    settings.MONDAY_WEBHOOK_TOKEN = settings.MONDAY_SIGNING_SECRET = ""
    assert set(subjects("problem")) == {"webhooks", "settings"}


def test_a_wrong_token_is_told_by_json_and_by_the_exit_and_shown_nowhere(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_API_KEY = "not-the-token"
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("monday_check", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert report["ok"] is False
    (wrong,) = [result for result in report["results"] if result["level"] == "problem"]
    assert (wrong["subject"], "MONDAY_API_KEY" in wrong["fix"]) == ("token", True)
    assert "not-the-token" not in out.getvalue()


@pytest.mark.parametrize(
    ("name", "value", "subject"),
    [("MONDAY_API_KEY", "", "token"), ("MONDAY_API_URL", "http://127.0.0.1:18261/v2", "connection")],
)
def test_no_token_or_no_monday_is_the_problem(settings: Any, name: str, value: str, subject: str) -> None:
    setattr(settings, name, value)
    assert subject in subjects("problem")


def test_rows_on_which_nobody_works_are_a_problem_and_rows_that_were_given_up_a_warning() -> None:
    states.boards()
    row = SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), direction="to_monday")
    SyncQueue.objects.filter(pk=row.pk).update(next_retry=SyncNow() - timedelta(minutes=12))
    assert [result.level for result in monday_check._queue_results()] == ["problem"]
    SyncQueue.objects.filter(pk=row.pk).update(status="failed")
    assert [result.level for result in monday_check._queue_results()] == ["ok", "warning"]


@pytest.mark.parametrize(
    ("site", "private"),
    [
        ("http://localhost:8000", True),
        ("http://192.168.1.7", True),
        ("http://npd", True),
        ("https://npd.example.org", False),
        ("https://8.8.8.8", False),
    ],
)
def test_an_address_that_monday_s_servers_can_t_reach_is_a_problem(settings: Any, site: str, private: bool) -> None:
    settings.SITE_URL, settings.MONDAY_API_URL = site, "https://api.monday.com/v2"
    messages = [result.message for result in monday_check._address_results()]
    assert [f"Monday can't reach SITE_URL ({site})" in message for message in messages] == [True] * private
    settings.MONDAY_API_URL = "http://127.0.0.1:8001/v2"
    assert list(monday_check._address_results()) == []

"""A signed-in administrator, a configured Monday that nobody calls, and a world with every state."""

from typing import Any

import pytest
from django.test import Client

from sync.outbox import wakeups
from tests.admin import states


@pytest.fixture(autouse=True)
def monday(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Monday is configured, played by a sandbox, and no wake-up leaves the test."""
    settings.MONDAY_API_KEY = "token-that-no-page-may-show"
    settings.MONDAY_API_URL = "http://127.0.0.1:18241/v2"
    monkeypatch.setattr(wakeups, "wake_board", lambda *args: None)


@pytest.fixture
def patient(browser: Client) -> Client:
    """An administrator who gets the error page when a view fails."""
    browser.raise_request_exception = False
    return browser


@pytest.fixture
def world(db: None) -> dict[str, Any]:
    return states.one_of_each()

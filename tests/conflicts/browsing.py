"""A real browser on the pages of conflicts: signed in, with static files as they lie in the repository."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(autouse=True)
def plain_files(settings: Any) -> None:
    """Static files as they lie in the repository; Monday configured, and called by nobody."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }


@pytest.fixture
def open_page(browser: Browser, live_server: Any, ada: User) -> Iterator[Any]:
    """A function that opens a page of a new browser in which Ada is signed in; what goes wrong is in `errors`."""
    contexts = []

    def opened(width: int = 1280, scheme: Any = "light") -> tuple[Page, list[str]]:
        client = Client()
        client.force_login(ada)
        context = browser.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        context.set_default_timeout(60_000)  # none of this is about speed
        contexts.append(context)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}]
        )
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page, errors

    yield opened
    for context in contexts:
        context.close()


def press(page: Page, *keys: str) -> int:
    """Press these keys one after the other; return how many they were."""
    for key in keys:
        page.keyboard.press(key)
    return len(keys)


def serious(page: Page) -> list[str]:
    """What axe-core finds serious on the page as it stands."""
    return [
        f"{found['id']}: {found['nodes'][0]['html'][:160]}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


def beside(page: Page) -> int:
    """By how many pixels something stands out of the window to the side."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))

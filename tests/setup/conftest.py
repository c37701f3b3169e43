"""A sandbox, settings that point at it, and an address that answers Monday's challenge."""

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tests.support.in_process import answering
from tests.support.sandbox import Sandbox

SITE_URL = "http://127.0.0.1:18262"


@pytest.fixture
def receiver() -> Iterator[list[str]]:
    """The paths that Monday called here; each call is answered with its body."""
    paths: list[str] = []

    def application(environ: dict[str, Any], begin: Callable[..., Any]) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        begin("200 OK", [("Content-Type", "application/json")])
        return [environ["wsgi.input"].read()]

    with answering(SITE_URL, application):
        yield paths


@pytest.fixture
def monday(sandbox: Sandbox, settings: Any, receiver: list[str]) -> Sandbox:
    """An empty Monday account that can reach this installation."""
    settings.MONDAY_API_URL = sandbox.api_url
    settings.SITE_URL = SITE_URL
    settings.MONDAY_CONTACTS_BOARD_ID = settings.MONDAY_ORGANIZATIONS_BOARD_ID = ""
    return sandbox


@pytest.fixture
def run() -> Callable[..., str]:
    def command(*arguments: str) -> str:
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    return command

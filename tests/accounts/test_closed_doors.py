"""Every address of the site, as its routes have them: closed to strangers, and to pages of others."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern

OPEN_TO_STRANGERS = {
    "/accounts/inactive/", "/accounts/login/", "/accounts/oidc/cancelled/", "/set-password/x/x/",
    "/healthz", "/readyz",
}  # fmt: skip
"""Signing in, the probes, and pages that say nothing of this installation."""

WITHOUT_TOKEN_OF_A_FORM = {"/webhooks/monday/", "/webhooks/monday/x/", "/cron/sync-queue"}
"""What no browser calls: each asks for a secret of its own."""


def routes(patterns: Sequence[Any] | None = None, before: str = "") -> Iterator[str]:
    for one in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLPattern):
            yield route
        else:
            yield from routes(one.url_patterns, route)


def addresses() -> list[str]:
    """Each route with something in each of its places."""
    found = []
    for route in routes():
        text = re.sub(r"\(\?P<(\w+)>[^()]*(?:\([^()]*\)[^()]*)*\)", r"<\1>", route)
        text = re.sub(r"<uuid:\w+>", str(uuid4()), text)
        text = re.sub(r"<int:\w+>", "1", text)
        text = re.sub(r"<(\w+:)?\w+>", "x", text)
        found.append("/" + re.sub(r"[\^$\\]|\\Z", "", text).lstrip("/"))
    assert len(found) > 200
    return found


def test_a_stranger_gets_in_nowhere(db: None) -> None:
    opened = set()
    for number, address in enumerate(addresses()):
        client = Client(REMOTE_ADDR=f"198.51.{number // 250}.{number % 250}")
        for answer in (client.get(address), client.post(address)):
            if answer.status_code not in (302, 401, 403, 404, 405):
                opened.add(address)
    assert opened == OPEN_TO_STRANGERS


def test_every_post_of_a_browser_wants_the_token_of_a_form(db: None, settings: Any) -> None:
    settings.CSRF_FAILURE_VIEW = "django.views.csrf.csrf_failure"  # ours is a whole page, 200 times
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("dora", "dora@example.test", "right"))
    opened = set()
    for address in addresses():
        answer = client.post(address, "{}", content_type="application/json")
        if answer.status_code == 415:
            answer = client.post(address, {"a": "b"})
        if answer.status_code not in (403, 404):
            opened.add(address)
    assert opened == WITHOUT_TOKEN_OF_A_FORM

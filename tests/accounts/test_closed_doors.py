"""Every route is closed to strangers and to posts from other sites."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern

# Sign-in, the probes, and pages that reveal nothing about this installation.
OPEN_TO_STRANGERS = {
    "/accounts/inactive/", "/accounts/login/", "/accounts/oidc/cancelled/", "/set-password/x/x/",
    "/healthz", "/readyz",
}  # fmt: skip

# Not called by browsers; each checks a secret of its own.
WITHOUT_TOKEN_OF_A_FORM = {"/webhooks/monday/", "/webhooks/monday/x/", "/cron/sync-queue"}


def routes(patterns: Sequence[Any] | None = None, before: str = "") -> Iterator[str]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from routes(pattern.url_patterns, route)


def addresses() -> list[str]:
    """Every route, with an example for each argument."""
    addresses_of_routes = []
    for route in routes():
        text = re.sub(r"\(\?P<(\w+)>[^()]*(?:\([^()]*\)[^()]*)*\)", r"<\1>", route)
        text = re.sub(r"<uuid:\w+>", str(uuid4()), text)
        text = re.sub(r"<int:\w+>", "1", text)
        text = re.sub(r"<(\w+:)?\w+>", "x", text)
        addresses_of_routes.append("/" + re.sub(r"[\^$\\]|\\Z", "", text).lstrip("/"))
    assert len(addresses_of_routes) > 200
    return addresses_of_routes


def scripts(answer: Any) -> str:
    parts = (part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    return dict(parts)["script-src"]


def test_a_stranger_gets_in_nowhere_and_no_page_on_the_way_may_evaluate_text(db: None) -> None:
    opened, sources = set(), set()
    for number, address in enumerate([*addresses(), "/nowhere"]):
        client = Client(REMOTE_ADDR=f"198.51.{number // 250}.{number % 250}")
        for answer in (client.get(address), client.post(address)):
            sources.add(scripts(answer))
            if answer.status_code not in (302, 401, 403, 404, 405):
                opened.add(address)
    assert opened == OPEN_TO_STRANGERS
    assert sources == {"'self'"}


def test_every_post_of_a_browser_wants_the_token_of_a_form(db: None, settings: Any) -> None:
    settings.CSRF_FAILURE_VIEW = "django.views.csrf.csrf_failure"  # our own page would be rendered 200 times
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


def test_a_page_is_framed_by_nobody_and_its_session_is_read_by_no_script(db: None, client: Client) -> None:
    User.objects.create_superuser("dora", "dora@example.test", "right")
    for elsewhere in ("https://localhost/", "https://127.0.0.1/", "///evil.example", "//evil.example"):
        answer = client.post("/accounts/login/", {"login": "dora", "password": "right", "next": elsewhere})
        assert answer.headers["Location"].startswith("/admin/")
        client.post("/accounts/logout/")
    client.post("/accounts/login/", {"login": "dora", "password": "right"})
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    policy = client.get("/admin/").headers["Content-Security-Policy"]
    for part in ("frame-ancestors 'none'", "object-src 'none'", "base-uri 'self'", "form-action 'self'"):
        assert part in policy
    assert client.get("/admin/").headers["X-Content-Type-Options"] == "nosniff"


def test_only_who_is_signed_in_gets_pages_that_may(admin_client: Client) -> None:
    assert scripts(admin_client.get("/admin/npd/contact/")) == "'self' 'unsafe-eval'"
    for address in ("/api/v1/docs/", "/accounts/2fa/", "/api/v1/contacts/"):
        assert scripts(admin_client.get(address)) == "'self'"
    assert scripts(admin_client.post("/admin/logout/")) == "'self'"


@pytest.mark.parametrize("credential", ['{"id": "x"}', "[" * 5_000])
def test_what_no_browser_wrote_as_a_passkey_is_no_failure_of_ours(client: Client, db: None, credential: str) -> None:
    passkey = "/accounts/2fa/webauthn/login/"
    client.get(passkey, headers={"X-Requested-With": "XMLHttpRequest"})
    assert client.post(passkey, {"credential": credential}).status_code == 400


@pytest.mark.parametrize("address", ["/accounts/login/", "/admin/", "/api/v1/contacts/"])
def test_a_session_that_no_database_can_hold_is_no_failure_of_ours(client: Client, db: None, address: str) -> None:
    assert client.get(address, headers={"Cookie": 'sessionid="abcdefghij\\000k"'}).status_code == 400

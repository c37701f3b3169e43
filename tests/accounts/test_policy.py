"""What a page may run: text is evaluated as a script in the admin's frame alone."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

WITHOUT = (
    "/accounts/login/", "/healthz", "/metrics", "/webhooks/monday/", "/api/v1/docs/", "/api/v1/contacts/", "/nowhere",
    "/accounts/2fa/", "/static/npd/npd.js",
)  # fmt: skip


def scripts(answer: Any) -> str:
    parts = (part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    return dict(parts)["script-src"]


@pytest.mark.parametrize("address", WITHOUT)
def test_no_page_outside_the_admins_frame_may_evaluate_text(db: None, client: Client, address: str) -> None:
    answer = client.get(address)
    answer.close()  # the answer of a static file holds it open
    assert scripts(answer) == "'self'"


def test_a_page_is_framed_by_nobody_and_its_session_is_read_by_no_script(db: None, client: Client) -> None:
    User.objects.create_superuser("dora", "dora@example.test", "right")
    fixed = client.session
    fixed.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = fixed.session_key
    answer = client.post("/accounts/login/", {"login": "dora", "password": "right", "next": "//evil.example"})
    assert answer.headers["Location"].startswith("/admin/")
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert (cookie["httponly"], cookie["samesite"], cookie.value != fixed.session_key) == (True, "Lax", True)
    policy = client.get("/admin/").headers["Content-Security-Policy"]
    for part in ("frame-ancestors 'none'", "object-src 'none'", "base-uri 'self'", "form-action 'self'"):
        assert part in policy
    assert client.get("/admin/").headers["X-Content-Type-Options"] == "nosniff"


def test_only_who_is_signed_in_gets_pages_that_may(admin_client: Client) -> None:
    assert scripts(admin_client.get("/admin/npd/contact/")) == "'self' 'unsafe-eval'"
    for address in ("/api/v1/docs/", "/accounts/2fa/", "/api/v1/contacts/"):
        assert scripts(admin_client.get(address)) == "'self'"
    assert scripts(admin_client.post("/admin/logout/")) == "'self'"

"""Monday's sign-in for apps, as the sandbox plays it: what it refuses, what is good once, and when tokens end."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.support.sandbox import Sandbox

VERIFIER, BACK = "v" * 64, "http://127.0.0.1:9/back?x=1"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
QUESTION = {
    "client_id": "sandbox-client-id", "redirect_uri": BACK, "state": "st&te", "scope": "me:read boards:read",
    "code_challenge": CHALLENGE, "code_challenge_method": "S256",
}  # fmt: skip
APP = {"client_id": "sandbox-client-id", "client_secret": "sandbox-client-secret"}


def asked(sandbox: Sandbox, **changes: str) -> requests.Response:
    return requests.get(f"{sandbox.url}/oauth2/authorize", params=QUESTION | changes, timeout=10)


def answered(sandbox: Sandbox, which: int = 0) -> dict[str, list[str]]:
    """What comes back to the app after Authorize (0) or Cancel (1)."""
    link = re.findall(r'href="(/oauth2/answer[^"]*)"', asked(sandbox).text)[which].replace("&amp;", "&")
    back = requests.get(sandbox.url + link, timeout=10, allow_redirects=False)
    assert requests.get(sandbox.url + link, timeout=10, allow_redirects=False).status_code == 400  # answered once
    assert back.headers["Location"].startswith(BACK + "&")
    return parse_qs(urlsplit(back.headers["Location"]).query)


def token(sandbox: Sandbox, end: str = "token", **body: str) -> Any:
    return requests.post(f"{sandbox.url}/oauth_ms/oauth/{end}", json=APP | body, timeout=10)


def exchange(sandbox: Sandbox, code: str, **changes: str) -> Any:
    body = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    return token(sandbox, **body | changes)


@pytest.mark.parametrize(
    ("change", "error"),
    [({"code_verifier": "w" * 64}, "invalid_grant"), ({"redirect_uri": "http://127.0.0.1:9/"}, "invalid_grant"),
     ({"client_secret": "x"}, "invalid_client"), ({"grant_type": "password"}, "unsupported_grant_type")],
)  # fmt: skip
def test_a_code_is_exchanged_only_for_who_asked(sandbox: Sandbox, change: dict[str, str], error: str) -> None:
    refused = exchange(sandbox, answered(sandbox)["code"][0], **change)
    assert refused.json() == {"error": error}
    assert refused.status_code in (400, 401)

"""An app's authorization by OAuth 2.1: the address to which a person is sent, the tokens, their refresh and end.

Source of each address, parameter and answer: developer.monday.com/apps/docs/oauth and
developer.monday.com/apps/docs/migrating-to-the-new-oauth-flow (as of 2026-09-23). The older flow, whose tokens never
ended, is no more. Requests go to Monday's sign-in, not to its API, so they cost none of its quota; our errors quote
neither what was sent nor what was answered.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jwt
import requests
import urllib3

from sync.connectors.base import errors
from sync.connectors.base.connector import OAuthApp, OAuthGrant
from sync.connectors.monday.client import transport_error

SIGN_IN_URL = "https://auth.monday.com"
SCOPES = ("me:read", "account:read", "users:read", "boards:read", "boards:write", "webhooks:read", "webhooks:write")
"""What the sync asks for: no more than the calls that it makes need."""

_ENDED = ("invalid_grant", "invalid_client", "unauthorized_client")
"""By these alone (RFC 6749, 5.2) a grant is over; a firewall or a proxy on the way answers 4xx as well."""

# A person waits for it in the browser, and a pass when its token has ended.
TIMEOUT_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
# An answer with two tokens has some thousand characters; more is a page of a proxy's.
_LARGEST_ANSWER = 100_000


def authorization_url(app: OAuthApp, redirect_uri: str, state: str, verifier: str) -> str:
    """Where a person is asked; `state` and the proof of `verifier` (PKCE, S256) bind the answer to who asked."""
    digest = hashlib.sha256(verifier.encode()).digest()
    params = {
        "client_id": app.client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": " ".join(SCOPES),
        "state": state,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    return f"{app.page_url}/oauth2/authorize?{urlencode(params)}"


def exchange_code(app: OAuthApp, code: str, redirect_uri: str, verifier: str) -> OAuthGrant:
    """The tokens for a code, which is valid once and for ten minutes.

    Raises AuthorizationRejected, and CodeNotExchanged where Monday said nothing of the code.
    """
    asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    try:
        return _ask_for_tokens(app, asked)
    except (errors.OutcomeUnknown, errors.Unreachable) as error:
        # Not `from error`: what others are told of such an error is that it is tried again.
        raise errors.CodeNotExchanged(error.message, code="code_not_exchanged", http_status=error.http_status) from None


def refresh_grant(app: OAuthApp, refresh_token: str) -> OAuthGrant:
    """New tokens; the refresh token is used up by it. Raises AuthorizationRejected."""
    return _ask_for_tokens(app, {"grant_type": "refresh_token", "refresh_token": refresh_token})


def revoke_grant(app: OAuthApp, grant: OAuthGrant) -> None:
    for kind, token in (("refresh_token", grant.refresh_token), ("access_token", grant.access_token)):
        if token:
            _post(app, "/oauth_ms/oauth/revoke", {"token": token, "token_type_hint": kind})


def _ask_for_tokens(app: OAuthApp, params: Mapping[str, str]) -> OAuthGrant:
    body = _post(app, "/oauth_ms/oauth/token", params)
    access, refresh = body.get("access_token"), body.get("refresh_token")
    if not isinstance(access, str) or not access or not isinstance(refresh, str) or not refresh:
        raise errors.UnreadableAnswer("Monday's sign-in answered without tokens")
    scopes = body.get("scope")
    return OAuthGrant(access, refresh, _end_of(access), tuple(scopes.split()) if isinstance(scopes, str) else ())


def _end_of(token: str) -> datetime | None:
    """When a token ends: the answer doesn't say, the token itself does."""
    try:
        # Not verified: it is Monday's own, and decides only when the next one is fetched.
        claims = jwt.decode(token, options={"verify_signature": False})
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _post(app: OAuthApp, path: str, params: Mapping[str, str]) -> dict[str, Any]:
    sent = {"client_id": app.client_id, "client_secret": app.client_secret, **params}
    try:
        with requests.Session() as session:
            session.auth = _no_auth  # a .netrc entry for the host would add a header
            with session.post(
                f"{app.url}{path}",
                json=sent,
                timeout=(_CONNECT_SECONDS, TIMEOUT_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = answer.raw.read(_LARGEST_ANSWER, decode_content=True)
                status = answer.status_code
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # Without its cause: its traceback would show what was sent.
        raise transport_error(error, TIMEOUT_SECONDS) from None
    body = _object(content)
    if status == 200:
        return body
    code = body.get("error")
    code = code if isinstance(code, str) and len(code) <= 50 else ""
    if code in _ENDED:
        raise errors.AuthorizationRejected(f"Monday's sign-in refused it ({code})", code=code, http_status=status)
    said = f"HTTP {status} ({code})" if code else f"HTTP {status}"
    raise errors.ServerFailed(f"Monday's sign-in answered {said}", code=code, http_status=status)


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""Monday's sign-in for apps, OAuth 2.1: the page that asks a person, codes, tokens, their refresh and end.

developer.monday.com/apps/docs/oauth and …/apps/docs/migrating-to-the-new-oauth-flow: PKCE by S256 is required, a code
is valid once and for ten minutes, an access token is a JWT whose `exp` alone says when it ends (an hour here), each
refresh gives a new refresh token and uses up the old one. One app is known, by its ID and secret.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, replace
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from sandbox.clock import Clock
from sandbox.http import Request, Response, Route, html_response, json_response, route
from sandbox.model import ACCOUNT_ID, API_USER

CLIENT_ID, CLIENT_SECRET = "sandbox-client-id", "sandbox-client-secret"
SCOPES = ("me:read", "account:read", "users:read", "boards:read", "boards:write", "webhooks:read", "webhooks:write")
CODE_SECONDS = 600
ACCESS_SECONDS = 3_600
LARGEST_BODY = 20_000
LONGEST = 2_000  # characters of an address or a state


@dataclass(frozen=True)
class Asked:
    """What an app asked for, and a person hasn't answered or whose code isn't exchanged yet."""

    redirect_uri: str
    state: str
    challenge: str
    scopes: str
    since: float


class Refused(Exception):
    """The error's code, as RFC 6749 (5.2) names them."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class OAuth:
    """The sign-in of one app."""

    def __init__(self, clock: Clock, client_id: str | None, client_secret: str | None) -> None:
        self._clock = clock
        self._client = (client_id or CLIENT_ID, client_secret or CLIENT_SECRET)
        self._key = secrets.token_urlsafe(32)  # signs the access tokens
        self._lock = threading.Lock()
        self._asked: dict[str, Asked] = {}
        self._codes: dict[str, Asked] = {}
        self._refresh: dict[str, str] = {}  # a refresh token's scopes
        self._ended: set[str] = set()  # access tokens that were revoked

    def routes(self) -> list[Route]:
        return [
            route("GET", "/oauth2/authorize", self.authorize),
            route("GET", "/oauth2/answer", self.answer),
            route("POST", "/oauth_ms/oauth/token", self.token),
            route("POST", "/oauth_ms/oauth/revoke", self.revoke),
        ]

    def clear(self) -> None:
        with self._lock:
            for known in (self._asked, self._codes, self._refresh, self._ended):
                known.clear()

    def is_live(self, token: str) -> bool:
        """Whether this is an access token that was given out, has not ended and was not revoked."""
        claims = self._claims(token)
        return claims is not None and claims["exp"] > self._clock.time() and token not in self._ended

    def issued(self, token: str) -> bool:
        """Whether it is one of ours at all, live or not."""
        return self._claims(token) is not None

    def _claims(self, token: str) -> dict[str, Any] | None:
        # Times are compared by the sandbox's own clock.
        try:
            unchecked = {"verify_exp": False, "verify_iat": False}
            return dict(jwt.decode(token, self._key, algorithms=["HS256"], options=unchecked))  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return None

    def authorize(self, request: Request) -> Response:
        """Ask the person; what is wrong with the question is said here, for it is the app that is wrong."""
        query = request.query
        redirect_uri, scopes = query.get("redirect_uri", ""), query.get("scope", "")
        problem = ""
        if query.get("client_id") != self._client[0]:
            problem = "There is no app with this client_id."
        elif urlsplit(redirect_uri).scheme not in ("http", "https") or len(redirect_uri) > LONGEST:
            problem = "redirect_uri is no address."
        elif query.get("code_challenge_method") != "S256" or not 43 <= len(query.get("code_challenge", "")) <= 128:
            problem = "The request has no PKCE code challenge by S256, which OAuth 2.1 requires."
        elif unknown := set(scopes.split()) - set(SCOPES):
            problem = f"The app doesn't have the scope {min(unknown)}."
        elif len(query.get("state", "")) > LONGEST:
            problem = "state is too long."
        if problem:
            return _page(f"<h1>The app can't be authorized</h1><p>{escape(problem)}</p>", 400)
        number = secrets.token_urlsafe(16)
        asked = Asked(redirect_uri, query.get("state", ""), query["code_challenge"], scopes, self._clock.time())
        with self._lock:
            self._asked[number] = asked
        allowed = "".join(f"<li>{escape(scope)}</li>" for scope in scopes.split())
        yes, no = (f"/oauth2/answer?{urlencode({'request': number, 'allow': how})}" for how in ("yes", "no"))
        return _page(
            f"<h1>NPD Sync asks for access to this account</h1><ul>{allowed}</ul>"
            f'<p><a class="button" href="{escape(yes)}">Authorize</a> '
            f'<a class="button" href="{escape(no)}">Cancel</a></p>'
        )

    def answer(self, request: Request) -> Response:
        """The person's answer, once: back to the app with a code, or with why there is none."""
        with self._lock:
            asked = self._asked.pop(request.query.get("request", ""), None)
        if asked is None:
            return _page("<h1>This was answered already</h1>", 400)
        if request.query.get("allow") == "yes":
            code = secrets.token_urlsafe(24)
            with self._lock:
                self._codes[code] = replace(asked, since=self._clock.time())
            back = {"code": code, "state": asked.state, "status": "approved"}
        else:
            back = {"error": "access_denied", "state": asked.state, "status": "denied"}
        mark = "&" if urlsplit(asked.redirect_uri).query else "?"
        return Response(302, headers={"Location": f"{asked.redirect_uri}{mark}{urlencode(back)}"})

    def token(self, request: Request) -> Response:
        """Tokens for a code or for a refresh token."""
        try:
            given = self._checked(request)
            if given.get("grant_type") == "authorization_code":
                with self._lock:
                    asked = self._codes.pop(given.get("code", ""), None)
                digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if (
                    asked is None
                    or self._clock.time() - asked.since > CODE_SECONDS
                    or given.get("redirect_uri") != asked.redirect_uri
                    or not hmac.compare_digest(challenge, asked.challenge)
                ):
                    raise Refused("invalid_grant")
                scopes = asked.scopes
            elif given.get("grant_type") == "refresh_token":
                with self._lock:
                    found = self._refresh.pop(given.get("refresh_token", ""), None)
                if found is None:
                    raise Refused("invalid_grant")
                scopes = found
            else:
                raise Refused("unsupported_grant_type")
        except Refused as refused:
            return json_response({"error": refused.code}, refused.status)
        refresh = secrets.token_urlsafe(32)
        with self._lock:
            self._refresh[refresh] = scopes
        now = int(self._clock.time())
        # With a jti: two tokens of one second would be the same text, and revoking one would end both.
        claims = {"uid": API_USER.id, "actid": ACCOUNT_ID, "iat": now, "exp": now + ACCESS_SECONDS, "jti": refresh[:8]}
        access = jwt.encode(claims, self._key, algorithm="HS256")
        body = {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "scope": scopes}
        return json_response(body)

    def revoke(self, request: Request) -> Response:
        """End a token of either kind; an unknown one is as good as ended (RFC 7009, 2.2)."""
        try:
            token = self._checked(request).get("token", "")
        except Refused as refused:
            return json_response({"error": refused.code}, refused.status)
        with self._lock:
            self._refresh.pop(token, None)
            self._ended.add(token)
        return json_response({"success": True})

    def _checked(self, request: Request) -> dict[str, str]:
        """The body, of the app that has the secret."""
        if not request.is_json():
            raise Refused("invalid_request")
        given = {name: value for name, value in request.object().items() if isinstance(value, str)}
        mine = (given.get("client_id", ""), given.get("client_secret", ""))
        if not all(hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(mine, self._client, strict=True)):
            raise Refused("invalid_client", 401)
        return given


def _page(main: str, status: int = 200) -> Response:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>Sign in · Monday sandbox</title>"
        '<link rel="stylesheet" href="/static/board.css"></head><body>'
        '<section class="banner" aria-label="About this page">This is a sandbox that plays Monday.com on this machine.'
        f"</section><main>{main}</main></body></html>"
    )
    response = html_response(text, status)
    return replace(response, headers={**response.headers, "Cache-Control": "no-store"})

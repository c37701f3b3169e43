"""The HTTP side of a delivery: the challenge, the signature, the POST."""

import json
import secrets
import threading
from typing import Any

import jwt
import requests

from sandbox.people import ACCOUNT_ID

TIMEOUT_SECONDS = 180  # developer.monday.com/apps/changelog: three minutes since 2024-10
HANDSHAKE_SECONDS = 20
TOKEN_SECONDS = 300


class Sender:
    """Posts deliveries; with a signing secret they carry a JWT, as those of an app's webhooks do.

    Claims and algorithm: developer.monday.com/apps/docs/authorization-header and working code of users.
    """

    def __init__(self, signing_secret: str | None) -> None:
        self._secret = signing_secret
        self._local = threading.local()

    def handshake(self, url: str) -> bool:
        """Whether the address answers a challenge with the same JSON; challenges are never signed."""
        challenge = {"challenge": secrets.token_urlsafe(39)}
        try:
            # Over a connection of its own: one that was kept may end at this very moment, and nobody asks again.
            with _session() as session:
                answer = session.post(url, json=challenge, timeout=HANDSHAKE_SECONDS, allow_redirects=False)
                return bool(answer.status_code == 200 and answer.json() == challenge)
        except (requests.RequestException, ValueError):
            return False

    def post(self, url: str, body: dict[str, Any], user_id: int, now: float) -> tuple[int | None, str]:
        """The status that the address answered, or None and why there is no answer."""
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers["Authorization"] = self._token(self._secret, url, user_id, int(now))
        content = json.dumps(body, ensure_ascii=False).encode()
        try:
            answer = self._session().post(
                url, data=content, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.Timeout:
            return None, "timeout"
        except requests.RequestException as failure:
            # The failure's text holds the whole address, secret path included: its name is enough.
            return None, type(failure).__name__
        return answer.status_code, ""

    @staticmethod
    def _token(secret: str, url: str, user_id: int, now: int) -> str:
        claims = {
            "accountId": ACCOUNT_ID,
            "userId": user_id,
            "aud": url,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "shortLivedToken": secrets.token_hex(16),
        }
        return jwt.encode(claims, secret, algorithm="HS256")

    def _session(self) -> requests.Session:
        """One per thread: a session is not safe to share."""
        if not hasattr(self._local, "session"):
            self._local.session = _session()
        session: requests.Session = self._local.session
        return session


def _session() -> requests.Session:
    session = requests.Session()
    # A proxy of the environment must not stand between two processes of one machine.
    session.trust_env = False
    return session

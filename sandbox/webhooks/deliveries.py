"""Deliver webhooks in the background, log each try, and repeat once a minute for 30 minutes.

Like Monday: one POST per event, anything but 200 is tried again, no order is promised
(developer.monday.com/api-reference/reference/webhooks).
"""

import heapq
import itertools
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import requests

from sandbox.clock import Clock
from sandbox.events import Happening
from sandbox.people import ACCOUNT_ID
from sandbox.webhooks.payloads import body, wants
from sandbox.world import World

RETRY_SECONDS = 60
RETRIES = 30
TIMEOUT_SECONDS = 180
WORKERS = 16
LOG_LENGTH = 2_000


@dataclass
class Delivery:
    """One event on its way to one address."""

    id: int
    webhook_id: int
    board_id: int
    url: str
    user_id: int
    about: str
    body: dict[str, Any]
    tries: list[dict[str, Any]] = field(default_factory=list)
    state: str = "waiting"
    next_try: float | None = None

    def shown(self) -> dict[str, Any]:
        """For the log: the address without its path, which may hold a secret."""
        event = self.body["event"]
        return {
            "id": self.id,
            "webhook_id": self.webhook_id,
            "board_id": self.board_id,
            "host": "/".join(self.url.split("/")[:3]),
            "type": event["type"],
            "about": self.about,
            "trigger_uuid": event["triggerUuid"],
            "user_id": self.user_id,
            "state": self.state,
            "tries": self.tries,
            "next_try": self.next_try,
            "body": self.body,
        }


class Deliveries:
    """The pool. `changed` is called with a delivery whenever its state moves."""

    def __init__(self, world: World, signing_secret: str | None, changed: Callable[[Delivery], None]) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self._secret = signing_secret
        self._changed = changed
        self._log: OrderedDict[int, Delivery] = OrderedDict()
        self._due: list[tuple[float, int, Delivery]] = []
        self._numbers = itertools.count(1)
        self._wake = threading.Condition()
        self._local = threading.local()

    def start(self) -> None:
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True, name="webhooks").start()

    def hear(self, happened: list[Happening]) -> None:
        """Queue what subscribers want to know; a listener of the world."""
        hooks = list(self._world.hooks.values())
        for happening in happened:
            for hook in hooks:
                if wants(hook, happening):
                    self._queue(hook.id, hook.url, happening, body(hook, happening))

    def _queue(self, hook_id: int, url: str, happening: Happening, content: dict[str, Any]) -> None:
        about = happening.item_name
        if happening.column is not None:
            about = f"{happening.column.title} · {about}".strip(" ·")
        with self._wake:
            delivery = Delivery(
                next(self._numbers), hook_id, happening.board_id, url, happening.user_id, about, content
            )
            self._log[delivery.id] = delivery
            while len(self._log) > LOG_LENGTH:
                self._log.popitem(last=False)
            self._schedule(delivery, self._clock.time())
        self._changed(delivery)

    def _schedule(self, delivery: Delivery, moment: float) -> None:
        delivery.next_try = moment
        heapq.heappush(self._due, (moment, delivery.id, delivery))
        self._wake.notify()

    def clock_moved(self) -> None:
        """Look again at what is due."""
        with self._wake:
            self._wake.notify_all()

    def log(self) -> list[dict[str, Any]]:
        """Deliveries, oldest first."""
        with self._wake:
            return [delivery.shown() for delivery in self._log.values()]

    def last(self, count: int) -> list[Delivery]:
        """The last deliveries, oldest first."""
        with self._wake:
            return list(self._log.values())[-count:]

    def clear(self) -> None:
        """Forget the log and everything that waits."""
        with self._wake:
            self._log.clear()
            self._due.clear()

    def handshake(self, url: str) -> bool:
        """Whether the address answers a challenge with the same JSON; challenges are never signed."""
        challenge = {"challenge": secrets.token_urlsafe(39)}
        try:
            answer = self._session().post(url, json=challenge, timeout=10, allow_redirects=False)
            return bool(answer.status_code == 200 and answer.json() == challenge)
        except (requests.RequestException, ValueError):
            return False

    def _work(self) -> None:
        while True:
            self._deliver(self._next())

    def _next(self) -> Delivery:
        with self._wake:
            while True:
                wait = self._due[0][0] - self._clock.time() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._wake.wait(wait)

    def _deliver(self, delivery: Delivery) -> None:
        delivery.body["event"]["isRetry"] = bool(delivery.tries)
        if "retryCount" in delivery.body["event"]:
            delivery.body["event"]["retryCount"] = len(delivery.tries)
        started = time.monotonic()
        status, error = self._post(delivery)
        with self._wake:
            milliseconds = round((time.monotonic() - started) * 1000)
            delivery.tries.append(
                {"at": self._clock.time(), "status": status, "ms": milliseconds, "error": error}
            )
            delivery.next_try = None
            if status == 200:
                delivery.state = "delivered"
            elif len(delivery.tries) > RETRIES or self._gone(delivery):
                delivery.state = "given up"
            else:
                delivery.state = "retrying"
                self._schedule(delivery, self._clock.time() + RETRY_SECONDS)
        self._changed(delivery)

    def _gone(self, delivery: Delivery) -> bool:
        hook = self._world.hooks.get(delivery.webhook_id)
        return hook is None or hook.deleted

    def _post(self, delivery: Delivery) -> tuple[int | None, str]:
        content = json.dumps(delivery.body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers["Authorization"] = self._token(delivery)
        try:
            answer = self._session().post(
                delivery.url, data=content, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.Timeout:
            return None, "timeout"
        except requests.RequestException as failure:
            # The failure's text holds the whole address, secret path included: its name is enough.
            return None, type(failure).__name__
        return answer.status_code, ""

    def _token(self, delivery: Delivery) -> str:
        now = int(self._clock.time())
        claims = {
            "accountId": ACCOUNT_ID,
            "userId": delivery.user_id,
            "aud": delivery.url,
            "iat": now,
            "exp": now + 300,
            "shortLivedToken": secrets.token_hex(16),
        }
        return jwt.encode(claims, self._secret or "", algorithm="HS256")

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # A proxy of the environment must not stand between two processes of one machine.
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session

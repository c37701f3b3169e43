"""Deliver webhooks in the background, signed: log each try, repeat once a minute for 30 minutes.

What waits is kept beside the boards, so that a restart forgets none. A test or a demo may do to deliveries on their way
what Monday's users report: events that never came, came twice, late, or in another order, of which
developer.monday.com/api-reference/reference/webhooks promises none (community.monday.com, threads 116255, 123925 and
86426).
"""

import copy
import heapq
import itertools
import json
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import requests

from sandbox import web
from sandbox.model import ACCOUNT_ID, Clock, WorldEvent
from sandbox.webhooks import delivery_body, wants
from sandbox.world import Store, World

KINDS = ("drop", "double", "delay", "reorder", "hold")


@dataclass
class Rule:
    """One rule. It applies to every `every`-th delivery, and ends after it applied to `count` (None: never by itself).

    drop: never sent. double: sent `times` times, with the same `triggerUuid`, or each with one of its own when
    `fresh_uuid`. delay: sent `seconds` of the sandbox's time later. reorder: `n` are kept until they are
    complete, then sent one after another in an order that `seed` gives. hold: kept until they are released.
    """

    id: int
    rule: str
    count: int | None = None
    every: int = 1
    seconds: float = 0.0
    times: int = 2
    fresh_uuid: bool = False
    n: int = 2
    seed: int = 0
    matches: int = 0
    applied: int = 0

    def description(self) -> str:
        """What it does, for the page."""
        extra = {
            "double": f"sent {self.times} times",
            "delay": f"delayed {self.seconds:,.0f} s",
            "reorder": f"{self.n} sent in another order",
            "hold": "held",
            "drop": "dropped",
        }[self.rule]
        often = f", every {self.every}th" if self.every > 1 else ""
        remaining = "" if self.count is None else f", {self.count - self.applied} to go"
        return f"any event: {extra}{often}{remaining}"


def rule_from(number: int, content: dict[str, Any]) -> Rule:
    """The rule that a JSON object describes. Raises BadRequestError."""
    kind = web.one_of(KINDS, content.get("rule", ""))
    count = {"reorder": content.get("n", Rule.n), "hold": None}.get(kind, 1)
    seconds = 60.0 if kind == "delay" else 0.0
    return web.call(Rule, {"id": number, "count": count, "seconds": seconds} | content)


class Rules:
    """The rules in force, in the order in which they were given."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, contents: list[dict[str, Any]]) -> None:
        """All of them or, when one is none, nothing. Raises BadRequestError."""
        made = [rule_from(next(self._numbers), content) for content in contents]
        with self._lock:
            self._rules += made

    def hit(self) -> Rule | None:
        """The first rule that applies to the next delivery; those before it have looked at it."""
        with self._lock:
            for rule in self._rules:
                rule.matches += 1
                if rule.matches % rule.every == 0:
                    rule.applied += 1
                    if rule.count is not None and rule.applied >= rule.count:
                        self._rules.remove(rule)
                    return rule
        return None

    def all(self) -> list[Rule]:
        with self._lock:
            return list(self._rules)

    def clear(self, kinds: tuple[str, ...] = KINDS) -> None:
        with self._lock:
            self._rules = [rule for rule in self._rules if rule.rule not in kinds]


WAITING = "waiting"
DELAYED = "delayed"
HELD = "held"
RETRYING = "retrying"
DELIVERED = "delivered"
DROPPED = "dropped"
GIVEN_UP = "given up"
UNFINISHED = (WAITING, DELAYED, HELD, RETRYING)


@dataclass
class Delivery:
    """`event` is what was subscribed to, `rule` the words of the rule that it met ("" for none).

    `next_try` is the sandbox's time of the next POST, None while nothing is planned.
    """

    id: int
    webhook_id: int
    board_id: int
    url: str
    event: str
    user_id: int
    about: str
    body: dict[str, Any]
    tries: list[dict[str, Any]] = field(default_factory=list)
    state: str = WAITING
    next_try: float | None = None
    rule: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the log: the address without its path, which may hold a secret."""
        event = self.body["event"]
        return {
            "id": self.id,
            "webhook_id": self.webhook_id,
            "board_id": self.board_id,
            "host": self.host,
            "event": self.event,
            "type": event["type"],
            "about": self.about,
            "trigger_uuid": event["triggerUuid"],
            "user_id": self.user_id,
            "state": self.state,
            "tries": self.tries,
            "next_try": self.next_try,
            "rule": self.rule,
            "body": self.body,
        }

    @property
    def host(self) -> str:
        return "/".join(self.url.split("/")[:3])

    def duplicate(self, number: int, fresh_uuid: bool) -> "Delivery":
        """A second delivery of the same, with the same `triggerUuid` or one of its own."""
        copied = copy.deepcopy(self)
        copied.id = number
        copied.tries = []
        if fresh_uuid:
            copied.body["event"]["triggerUuid"] = secrets.token_hex(16)
        return copied


# The HTTP side of a delivery: the challenge, the signature, the POST.


# How long a reset waits for what is being sent: an address that hangs must not hang the reset.
CLEARING_SECONDS = 2

TIMEOUT_SECONDS = 180  # developer.monday.com/apps/changelog: three minutes since 2024-10
HANDSHAKE_SECONDS = 20
# As in the sample of developer.monday.com/apps/docs/authorization-header.
TOKEN_SECONDS = 300


class Sender:
    """Posts deliveries; with a signing secret they carry a JWT, as those of an app's webhooks do.

    Claims and algorithm: developer.monday.com/apps/docs/authorization-header and working code of users.
    """

    def __init__(self, signing_secret: str | None, npd: web.NpdAddress | None = None) -> None:
        self._secret = signing_secret
        self._npd = npd
        self._local = threading.local()

    def handshake(self, url: str) -> bool:
        """Whether the address answers a challenge with the same JSON; challenges are never signed."""
        challenge = {"challenge": secrets.token_urlsafe(39)}
        try:
            # Over a connection of its own: one that was kept may end at this very moment, and nobody asks again.
            with _session() as session:
                address, headers = self._reach(url)
                answer = session.post(
                    address, json=challenge, headers=headers, timeout=HANDSHAKE_SECONDS, allow_redirects=False
                )
                return bool(answer.status_code == 200 and answer.json() == challenge)
        except (requests.RequestException, ValueError):
            return False

    def post(self, url: str, body: dict[str, Any], user_id: int, now: float) -> tuple[int | None, str]:
        """The status that the address answered, or None and why there is no answer."""
        address, headers = self._reach(url)
        headers["Content-Type"] = "application/json"
        if self._secret:
            claims = {
                "accountId": ACCOUNT_ID,
                "userId": user_id,
                "aud": url,
                "iat": int(now),
                "exp": int(now) + TOKEN_SECONDS,
                "shortLivedToken": secrets.token_hex(16),
            }
            headers["Authorization"] = jwt.encode(claims, self._secret, algorithm="HS256")
        content = json.dumps(body, ensure_ascii=False).encode()
        try:
            # Redirects are not followed: anything but 200 is a failure, and requests would repeat the POST as a GET.
            answer = self._session().post(
                address, data=content, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.Timeout:
            return None, "timeout"
        except requests.RequestException as failure:
            # The failure's text holds the whole address, secret path included: its name is enough.
            return None, type(failure).__name__
        return answer.status_code, ""

    def _reach(self, url: str) -> tuple[str, dict[str, str]]:
        return self._npd.reach(url) if self._npd else (url, {})

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


# Once a minute for half an hour (developer.monday.com/api-reference/reference/webhooks).
RETRY_SECONDS = 60
RETRIES = 30
WORKERS = 16
LOG_LENGTH = 2_000
DELETED = "the webhook was deleted"
RELEASES = ("send", "double", "drop", "shuffle")
DeliverySequence = list[Delivery]  # sent one after another, in this order


class Deliveries:
    """The pool."""

    def __init__(self, world: World, sender: Sender, store: Store) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self._sender = sender
        self._store = store
        self.rules = Rules()
        self._log: OrderedDict[int, Delivery] = OrderedDict()
        self._due: list[tuple[float, int, DeliverySequence]] = []
        self._held: dict[int, Delivery] = {}
        self._shuffling: dict[int, DeliverySequence] = {}
        self._forgotten = 0  # deliveries up to this number are no more
        self._sending = 0
        self._places = itertools.count()
        self._condition = threading.Condition()
        waited = [Delivery(**json.loads(document)) for _, document in store.load("deliveries")]
        self._numbers = itertools.count(1 + max((delivery.id for delivery in waited), default=0))
        with self._condition:
            for delivery in waited:
                self._log[delivery.id] = delivery
                if delivery.state == HELD:
                    self._held[delivery.id] = delivery
                else:
                    self._schedule([delivery], delivery.next_try or self._clock.time())

    def start(self) -> None:
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True, name="webhooks").start()

    def on_events(self, happened: list[WorldEvent]) -> None:
        """Queue what subscribers want to know; a listener of the world."""
        hooks = list(self._world.hooks.values())
        wanted = [(hook, event) for event in happened for hook in hooks if wants(hook, event)]
        if not wanted:
            return
        with self._changing() as changed:
            for hook, event in wanted:
                about = event.item_name
                column = event.column
                if column is not None:
                    about = f"{column.title} · {about}".strip(" ·")
                delivery = Delivery(
                    id=next(self._numbers),
                    webhook_id=hook.id,
                    board_id=hook.board_id,
                    url=hook.url,
                    event=hook.event,
                    user_id=event.user_id,
                    about=about,
                    body=delivery_body(hook.subscription_id, event),
                )
                self._enter(delivery)
                rule = self.rules.hit()
                if rule is None:
                    self._schedule([delivery], self._clock.time())
                    changed.append(delivery)
                else:
                    delivery.rule = rule.rule
                    changed.extend(self._apply_rule(rule, delivery))

    @contextmanager
    def _changing(self) -> Iterator[list[Delivery]]:
        """Change deliveries; those put into the list are on disk before anybody sees how they stand.

        Shown first, one could be read as delivered, and come again from a sandbox that was killed before it wrote.
        """
        changed: list[Delivery] = []
        with self._condition:
            yield changed
            # Of finished ones a restart needs nothing.
            self._store.save(
                {("deliveries", each.id): vars(each) if each.state in UNFINISHED else None for each in changed}
            )

    def _apply_rule(self, rule: Rule, delivery: Delivery) -> list[Delivery]:
        now = self._clock.time()
        touched = [delivery]
        if rule.rule == "drop":
            delivery.state = DROPPED
        elif rule.rule == "double":
            touched += self._duplicates(delivery, rule.times - 1, rule.fresh_uuid)
            for waiting in touched:
                self._schedule([waiting], now)
        elif rule.rule == "delay":
            self._schedule([delivery], now + rule.seconds)
            delivery.state = DELAYED
        else:
            delivery.state = HELD
            self._held[delivery.id] = delivery
        if rule.rule == "reorder":  # kept with the others of its rule; once complete, they leave in another order
            together = self._shuffling.setdefault(rule.id, [])
            together.append(delivery)
            if len(together) >= rule.n:
                del self._shuffling[rule.id]
                leaving = [waiting for waiting in together if self._held.pop(waiting.id, None)]
                self._schedule(shuffle(leaving, rule.seed), now)
                touched += leaving
        return touched

    def _duplicates(self, delivery: Delivery, count: int, fresh_uuid: bool) -> DeliverySequence:
        duplicates = [delivery.duplicate(next(self._numbers), fresh_uuid) for _ in range(count)]
        for duplicate in duplicates:
            self._enter(duplicate)
        return duplicates

    def _enter(self, delivery: Delivery) -> None:
        self._log[delivery.id] = delivery
        while len(self._log) > LOG_LENGTH:
            self._log.popitem(last=False)

    def _schedule(self, train: DeliverySequence, moment: float) -> None:
        for delivery in train:
            delivery.next_try = moment
            if delivery.state == HELD:
                delivery.state = WAITING
        if train:
            # The number between: of two that are due at one time heapq would compare the deliveries, which it can't.
            heapq.heappush(self._due, (moment, next(self._places), train))
            self._condition.notify()

    def release(self, order: str = "send", seed: int = 0) -> int:
        """Let held deliveries go one after another, and end the rules that hold; how many there were.

        `order` "send" sends them as they came, sends each twice, drops them, or sends them in another order.
        """
        self.rules.clear(("hold", "reorder"))
        with self._changing() as changed:
            chosen = list(self._held.values())
            self._held.clear()
            self._shuffling.clear()
            if order == "drop":
                for delivery in chosen:
                    delivery.state = DROPPED
                    delivery.rule = "drop"
                leaving = []
            elif order == "double":
                leaving = [twin for delivery in chosen for twin in (delivery, *self._duplicates(delivery, 1, False))]
            else:
                leaving = shuffle(chosen, seed) if order == "shuffle" else chosen
            self._schedule(leaving, self._clock.time())
            changed.extend(leaving or chosen)
        return len(chosen)

    def held_count(self) -> int:
        """How many deliveries are kept until they are released."""
        with self._condition:
            return len(self._held)

    def clock_moved(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def log(self) -> list[Delivery]:
        """Deliveries as they stand, oldest first."""
        with self._condition:
            # Copies: workers go on changing their own while these are shown.
            return [copy.copy(delivery) for delivery in self._log.values()]

    def last(self, count: int) -> list[Delivery]:
        """The last deliveries, oldest first."""
        return self.log()[-count:]

    def clear(self) -> None:
        """Forget the log, the rules, and everything that waits; what is being sent arrives before this returns."""
        self.rules.clear()
        with self._condition:
            for kept in (self._log, self._due, self._held, self._shuffling):
                kept.clear()
            self._forgotten = next(self._numbers)
            self._store.replace("deliveries", [])
            self._condition.wait_for(lambda: not self._sending, CLEARING_SECONDS)

    def handshake(self, url: str) -> bool:
        return self._sender.handshake(url)

    def _work(self) -> None:
        while True:
            for delivery in self._next():
                self._deliver(delivery)

    def _next(self) -> DeliverySequence:
        with self._condition:
            while True:
                wait = self._due[0][0] - self._clock.time() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._condition.wait(wait)

    def _deliver(self, delivery: Delivery) -> None:
        with self._condition:
            if delivery.id <= self._forgotten:
                return  # taken before all was forgotten: a restored world may have its webhook again
            self._sending += 1
        if self._is_unsubscribed(delivery):
            status = None
            error = DELETED
            spent = 0.0
        else:
            event = delivery.body["event"]
            event["isRetry"] = bool(delivery.tries)
            if "retryCount" in event:
                event["retryCount"] = len(delivery.tries)
            started = time.monotonic()
            status, error = self._sender.post(delivery.url, delivery.body, delivery.user_id, self._clock.time())
            spent = time.monotonic() - started
        with self._changing() as changed:
            self._sending -= 1
            self._condition.notify_all()
            if delivery.id <= self._forgotten:
                return
            now = self._clock.time()
            tried = {"at": now, "status": status, "ms": round(spent * 1000), "error": error}
            delivery.tries = [*delivery.tries, tried]
            delivery.next_try = None
            if status == 200:
                delivery.state = DELIVERED
            elif len(delivery.tries) > RETRIES or self._is_unsubscribed(delivery):
                delivery.state = GIVEN_UP
            else:
                delivery.state = RETRYING
                self._schedule([delivery], now + RETRY_SECONDS)
            changed.append(delivery)

    def _is_unsubscribed(self, delivery: Delivery) -> bool:
        hook = self._world.hooks.get(delivery.webhook_id)
        return hook is None or hook.deleted


def shuffle(train: DeliverySequence, seed: int) -> DeliverySequence:
    """The same in an order that `seed` gives, and never the one they came in, where there are two."""
    order = list(train)
    source = random.Random(seed)  # noqa: S311 -- an order that repeats is wanted
    while len(train) > 1 and order == train:
        source.shuffle(order)
    return order

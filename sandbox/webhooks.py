"""Webhooks: subscriptions, the bodies of deliveries, and their sending in the background.

The `type` in a delivery differs from the name that was subscribed to; archive, delete and restore name the item
`itemId`; and columns have their old type names (developer.monday.com/api-reference/reference/webhooks and published
captures). Rules let a test or a demo drop, double, delay or hold deliveries, as Monday's users report
(community.monday.com, threads 116255, 123925 and 86426); developer.monday.com/api-reference/reference/webhooks promises
no order. A restart loses unfinished deliveries.
"""

import copy
import heapq
import itertools
import json
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests

from sandbox import api_errors, web
from sandbox.model import ACCOUNT_ID, GROUP_COLOUR, Clock, Hook, World, WorldEvent

# The events that a webhook may subscribe to, with the `type` of their deliveries.
EVENTS = {
    "create_item": "create_pulse",
    "change_column_value": "update_column_value",
    "change_name": "update_name",
    "item_archived": "archive_pulse",
    "item_deleted": "delete_pulse",
    "item_restored": "restore_pulse",
    "item_moved_to_any_group": "move_pulse_into_group",
}
STATE_NUMBERS = {"active": 1, "archived": 2, "deleted": 3}
# A delivery's subscriptionId isn't the webhook's id, and no query returns it (published captures, 2025-02).
SUBSCRIPTION_OFFSET = 50_000
URL_LIMIT = 255  # developer.monday.com/api-reference/reference/webhooks


def delivery_body(hook: Hook, event: WorldEvent) -> dict[str, Any]:
    moment = datetime.fromtimestamp(event.seconds, UTC).replace(tzinfo=None)
    content = {
        "app": "monday",
        "type": EVENTS[event.kind],
        "triggerTime": moment.isoformat(timespec="milliseconds") + "Z",
        "subscriptionId": SUBSCRIPTION_OFFSET + hook.id,
        "isRetry": False,
        "userId": event.user_id,
        "boardId": event.board_id,
        **event_details(event),
        "triggerUuid": secrets.token_hex(16),
    }
    # Captures of restored items are without it.
    if event.kind != "item_restored":
        content["originalTriggerUuid"] = None
    return {"event": content}


def event_details(event: WorldEvent) -> dict[str, Any]:
    """Return the part of a body that differs by event, with the keys of published captures."""
    group = event.group
    item = {"itemId": event.item.id, "itemName": event.item_name}
    pulse = {"groupId": group.id, "pulseId": event.item.id, "pulseName": event.item_name}
    value = {"value": event.value, "previousValue": event.previous}
    match event.kind:
        case "create_item":
            title = {"groupName": group.title, "groupColor": GROUP_COLOUR, "isTopGroup": event.is_top_group}
            return pulse | title | {"columnValues": event.column_values}
        case "change_column_value":
            assert event.column is not None
            column = {"columnId": event.column.id, "columnType": event.column_type, "columnTitle": event.column.title}
            return pulse | column | value | {"changedAt": event.seconds, "isTopGroup": event.is_top_group}
        case "change_name":
            return {"groupId": group.id, "pulseId": event.item.id} | value
        case "item_restored":
            before = {"state": STATE_NUMBERS[event.previous]}
            return item | {"value": {"state": STATE_NUMBERS["active"], "is_undo": True}, "previousValue": before}
        case "item_moved_to_any_group":
            target = {"id": group.id, "title": group.title, "color": GROUP_COLOUR, "is_top_group": event.is_top_group}
            ids = {"sourceGroupId": event.source_group_id, "destGroupId": group.id}
            return {"pulseId": event.item.id, **ids, "destGroup": target}
        case _:  # archived or deleted
            return item


def subscribe(world: World, hook: Hook, handshake: Callable[[str], bool]) -> Hook | None:
    """Store a new subscription under an id of its own, or return None if its address fails the handshake.

    Raises FieldError for what Monday refuses before it calls the address, and for events that the sandbox doesn't send.
    """
    board = world.boards.get(hook.board_id)
    if board is None or board.state != "active":
        raise api_errors.invalid_argument("Board not found", board_id=hook.board_id)
    if hook.event not in EVENTS:
        raise api_errors.invalid_argument(f"The sandbox sends no {hook.event}")
    try:
        address = urlsplit(hook.url)
    except ValueError:  # half an IPv6 address
        address = urlsplit("")
    if len(hook.url) > URL_LIMIT or address.scheme not in ("http", "https") or not address.netloc:
        raise api_errors.invalid_argument(f"url must be an http address of at most {URL_LIMIT} characters")
    if not handshake(hook.url):
        return None
    with world.transaction():
        hook.id = world.next_id("hook")
        world.put_hook(hook)
        return hook


def unsubscribe(world: World, hook_id: int) -> Hook:
    with world.transaction():
        hook = world.hooks.get(hook_id)
        if hook is None or hook.deleted:
            raise api_errors.FieldError("Webhook not found", "ResourceNotFoundException", 404, webhook_id=hook_id)
        hook.deleted = True
        world.put_hook(hook)
        return hook


def wants(hook: Hook, event: WorldEvent) -> bool:
    """Return whether the subscription gets the event."""
    return not hook.deleted and hook.board_id == event.board_id and hook.event == event.kind


RULES = ("drop", "double", "delay", "hold")


@dataclass
class Rule:
    """What happens to deliveries on their way; the fields are named as in the JSON of `/_control/webhooks`."""

    rule: str  # one of RULES
    count: int | None = 1  # applies to so many more deliveries; None: until the rules are cleared
    seconds: float | list[float] = 60.0  # delay: sent this much later, in the sandbox's time; of a list, each in turn
    times: int = 2  # double: sent this often
    fresh_uuid: bool = False  # double: each copy has its own `triggerUuid`

    def description(self) -> str:
        """Describe the rule for the page."""
        effects = {
            "double": f"sent {self.times} times",
            "delay": f"delayed by {self.seconds} s",
            "hold": "held",
            "drop": "dropped",
        }
        remaining = "" if self.count is None else f", {self.count} to go"
        return f"deliveries: {effects[self.rule]}{remaining}"

    def next_seconds(self) -> float:
        """Return by how much the next delivery is late."""
        if not isinstance(self.seconds, list):
            return self.seconds
        self.seconds = [*self.seconds[1:], self.seconds[0]]
        return self.seconds[-1]


def rule_from(**content: Any) -> Rule:
    """Return the rule that a JSON object describes. Raises BadRequestError."""
    name = web.one_of(RULES, content.get("rule", ""))
    return web.call(Rule, {"count": None if name == "hold" else 1} | content)


WAITING = "waiting"
DELAYED = "delayed"
HELD = "held"
RETRYING = "retrying"
DELIVERED = "delivered"
DROPPED = "dropped"
GIVEN_UP = "given up"


@dataclass
class Delivery:
    """One event on its way to one subscriber, with the tries so far; the fields are named as in its JSON."""

    id: int
    webhook_id: int
    board_id: int
    url: str
    event: str  # the name that was subscribed to
    user_id: int  # who caused the event
    about: str  # the column and the item, for the log
    body: dict[str, Any]
    tries: list[dict[str, Any]] = field(default_factory=list)  # {at, status, ms, error} of each POST
    state: str = WAITING
    rule: str = ""  # the rule that was applied, one of RULES

    def to_json(self) -> dict[str, Any]:
        """Return the delivery for the log; of its address only the host, because the path may hold a secret."""
        event = self.body["event"]
        host = "/".join(self.url.split("/")[:3])
        content = vars(self) | {"host": host, "type": event["type"], "trigger_uuid": event["triggerUuid"]}
        del content["url"]
        return content

    def duplicate(self, number: int, fresh_uuid: bool) -> "Delivery":
        """Return a second delivery of the event, with the same `triggerUuid` or its own."""
        second = copy.deepcopy(self)
        second.id = number
        second.tries = []
        if fresh_uuid:
            second.body["event"]["triggerUuid"] = secrets.token_hex(16)
        return second


TIMEOUT_SECONDS = 180  # developer.monday.com/apps/changelog: three minutes since 2024-10
HANDSHAKE_SECONDS = 20
# As in the sample of developer.monday.com/apps/docs/authorization-header.
TOKEN_SECONDS = 300


class Sender:
    """Posts deliveries; with a signing secret it adds a JWT, as webhooks of a Monday app have.

    Claims and algorithm: developer.monday.com/apps/docs/authorization-header and working code of users. `npd` tells
    how to reach NPD where its public address leads elsewhere.
    """

    def __init__(self, signing_secret: str | None, npd: web.NpdAddress | None = None) -> None:
        self._secret = signing_secret
        self._npd = npd

    def handshake(self, url: str) -> bool:
        """Return whether the address answers a challenge with the same JSON; challenges are never signed."""
        challenge = {"challenge": secrets.token_urlsafe(39)}
        try:
            answer = self._send(url, challenge, {}, HANDSHAKE_SECONDS)
            return bool(answer.status_code == 200 and answer.json() == challenge)
        except (requests.RequestException, ValueError):
            return False

    def post(self, url: str, body: dict[str, Any], user_id: int, now: float) -> tuple[int | None, str]:
        """Return the status that the address answered, or None and why there is no answer."""
        headers = {}
        if self._secret:
            # For one address and a few minutes, so that a receiver can refuse what was meant for another.
            claims = {
                "accountId": ACCOUNT_ID,
                "userId": user_id,
                "aud": url,
                "iat": int(now),
                "exp": int(now) + TOKEN_SECONDS,
                "shortLivedToken": secrets.token_hex(16),
            }
            headers["Authorization"] = jwt.encode(claims, self._secret, algorithm="HS256")
        try:
            return self._send(url, body, headers, TIMEOUT_SECONDS).status_code, ""
        except requests.Timeout:
            return None, "timeout"
        except requests.RequestException as failure:
            # The failure's text would show the whole address with its secret path.
            return None, type(failure).__name__

    def _send(self, url: str, body: dict[str, Any], headers: dict[str, str], seconds: int) -> requests.Response:
        address, host_headers = self._npd.reach(url) if self._npd else (url, {})
        content = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"} | host_headers | headers
        # By a new connection, because a kept one may be closing at this moment.
        with requests.Session() as session:
            # Ignore a proxy from the environment: both processes may run on one machine.
            session.trust_env = False
            # Redirects are not followed: anything but 200 is a failure, and requests would repeat the POST as a GET.
            return session.post(address, data=content, headers=headers, timeout=seconds, allow_redirects=False)


# Once a minute for half an hour (developer.monday.com/api-reference/reference/webhooks).
RETRY_SECONDS = 60
RETRIES = 30
WORKERS = 16  # at once, so that deliveries arrive in no certain order, as Monday's do
LOG_LENGTH = 2_000  # deliveries
CLEARING_SECONDS = 2  # how long a reset waits for deliveries that are being sent; their address may hang
WEBHOOK_DELETED = "the webhook was deleted"
RELEASES = ("send", "double", "drop", "shuffle")


class Deliveries:
    """Queues deliveries, sends them from a thread pool and keeps the log."""

    def __init__(self, world: World, sender: Sender) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self.sender = sender
        self._rules: list[Rule] = []  # the first applies
        self._log: deque[Delivery] = deque(maxlen=LOG_LENGTH)
        # A heap of (moment, number, deliveries to send one after another). Numbers make all entries comparable.
        self._due: list[tuple[float, int, list[Delivery]]] = []
        self._held: list[Delivery] = []
        self._last_cleared = 0  # deliveries up to this id have been cleared
        self._sending = 0  # how many deliveries are being sent
        self._tiebreak = itertools.count()
        self._condition = threading.Condition()
        self._numbers = itertools.count(1)

    def start(self) -> None:
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True, name="webhooks").start()

    def on_events(self, events: list[WorldEvent]) -> None:
        """Queue a delivery for each event and subscriber; the world calls this after each transaction."""
        # A copy, because this is outside the world's lock and somebody may subscribe meanwhile.
        hooks = list(self._world.hooks.values())
        subscribed = [(hook, event) for event in events for hook in hooks if wants(hook, event)]
        if not subscribed:
            return
        with self._condition:
            for hook, event in subscribed:
                about = event.item_name
                if event.column is not None:
                    about = f"{event.column.title} · {about}".strip(" ·")
                delivery = Delivery(
                    id=next(self._numbers),
                    webhook_id=hook.id,
                    board_id=hook.board_id,
                    url=hook.url,
                    event=hook.event,
                    user_id=event.user_id,
                    about=about,
                    body=delivery_body(hook, event),
                )
                self._log.append(delivery)
                # A rule counts deliveries, not events: two subscribers may get different ones.
                self._send_by_rule(delivery)

    def _send_by_rule(self, delivery: Delivery) -> None:
        """Schedule a delivery, or do to it what the first rule says."""
        now = self._clock.time()
        rule = self._rules[0] if self._rules else None
        if rule is not None and rule.count is not None:
            rule.count -= 1
            if rule.count == 0:
                self._rules.remove(rule)
        delivery.rule = rule.rule if rule else ""
        if rule is None:
            self._schedule([delivery], now)
        elif rule.rule == "drop":
            delivery.state = DROPPED
        elif rule.rule == "double":
            for twin in (delivery, *self._duplicates(delivery, rule.times - 1, rule.fresh_uuid)):
                self._schedule([twin], now)
        elif rule.rule == "delay":
            self._schedule([delivery], now + rule.next_seconds())
            delivery.state = DELAYED
        else:
            delivery.state = HELD
            self._held.append(delivery)

    def _duplicates(self, delivery: Delivery, count: int, fresh_uuid: bool) -> list[Delivery]:
        duplicates = [delivery.duplicate(next(self._numbers), fresh_uuid) for _ in range(count)]
        self._log.extend(duplicates)
        return duplicates

    def _schedule(self, deliveries: list[Delivery], moment: float) -> None:
        for delivery in deliveries:
            if delivery.state == HELD:
                delivery.state = WAITING
        if deliveries:
            heapq.heappush(self._due, (moment, next(self._tiebreak), deliveries))
            self._condition.notify()

    def release(self, order: str = "send", seed: int = 0) -> int:
        """Send held deliveries one after another, end the rules that hold, and return how many were held.

        `order` is one of RELEASES: send them as they came, send each twice, drop them, or send them in another order.
        """
        with self._condition:
            self._rules = [rule for rule in self._rules if rule.rule != "hold"]
            held = self._held
            self._held = []
            if order == "drop":
                for delivery in held:
                    delivery.state = DROPPED
                    delivery.rule = "drop"
                return len(held)
            sequence = shuffle(held, seed) if order == "shuffle" else held
            if order == "double":
                sequence = [twin for first in held for twin in (first, *self._duplicates(first, 1, fresh_uuid=False))]
            self._schedule(sequence, self._clock.time())
        return len(held)

    def add_rules(self, rules: list[Rule]) -> None:
        with self._condition:
            self._rules += [rule for rule in rules if rule.count != 0]

    def rules(self) -> list[Rule]:
        with self._condition:
            return list(self._rules)

    def clear_rules(self) -> None:
        with self._condition:
            self._rules.clear()

    def held_count(self) -> int:
        with self._condition:
            return len(self._held)

    def clock_moved(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def log(self) -> list[Delivery]:
        """Return copies of the logged deliveries, oldest first; workers go on changing the originals."""
        with self._condition:
            return [copy.copy(delivery) for delivery in self._log]

    def clear(self) -> None:
        """Clear the log, the rules and the queue; deliveries that are being sent arrive before this returns."""
        with self._condition:
            for collection in (self._rules, self._log, self._due, self._held):
                collection.clear()
            self._last_cleared = next(self._numbers)
            self._condition.wait_for(lambda: not self._sending, CLEARING_SECONDS)

    def _work(self) -> None:
        """Send what is due, for ever, in one of the threads."""
        while True:
            with self._condition:
                wait = self._due[0][0] - self._clock.time() if self._due else None
                if wait is None or wait > 0:
                    # Woken earlier by a new delivery, or when a test moves the clock.
                    self._condition.wait(wait)
                    continue
                deliveries = heapq.heappop(self._due)[2]
            for delivery in deliveries:
                self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        with self._condition:
            if delivery.id <= self._last_cleared:
                return  # by its id, not by its webhook, which exists again after `POST restore`
            self._sending += 1
        if self._is_unsubscribed(delivery):
            status = None
            error = WEBHOOK_DELETED
            seconds = 0.0
        else:
            # A retry has the `triggerUuid` of the first try, by which a receiver knows it again.
            event = delivery.body["event"]
            event["isRetry"] = bool(delivery.tries)
            started = time.monotonic()
            status, error = self.sender.post(delivery.url, delivery.body, delivery.user_id, self._clock.time())
            seconds = time.monotonic() - started
        with self._condition:
            self._sending -= 1
            self._condition.notify_all()
            if delivery.id <= self._last_cleared:
                return
            now = self._clock.time()
            attempt = {"at": now, "status": status, "ms": round(seconds * 1000), "error": error}
            # A new list, because the copies that `log` returns share the old one.
            delivery.tries = [*delivery.tries, attempt]
            if status == 200:
                delivery.state = DELIVERED
            # The first try is no retry.
            elif len(delivery.tries) > RETRIES or self._is_unsubscribed(delivery):
                delivery.state = GIVEN_UP
            else:
                delivery.state = RETRYING
                self._schedule([delivery], now + RETRY_SECONDS)

    def _is_unsubscribed(self, delivery: Delivery) -> bool:
        hook = self._world.hooks.get(delivery.webhook_id)
        return hook is None or hook.deleted


def shuffle(deliveries: list[Delivery], seed: int) -> list[Delivery]:
    """Return the deliveries in an order that depends on `seed`; two or more never stay in their order."""
    shuffled = list(deliveries)
    source = random.Random(seed)  # noqa: S311 -- an order that repeats is wanted
    while len(deliveries) > 1 and shuffled == deliveries:
        source.shuffle(shuffled)
    return shuffled

"""Deliver webhooks in the background, log each try, and repeat once a minute for 30 minutes.

Like Monday: one POST per event, anything but 200 is tried again, no order is promised
(developer.monday.com/api-reference/reference/webhooks). Rules may drop, double, delay, shuffle and hold them.
"""

import heapq
import itertools
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from sandbox.clock import Clock
from sandbox.events import Happening
from sandbox.webhooks.delivery import DELAYED, DELIVERED, DROPPED, GIVEN_UP, HELD, RETRYING, WAITING, Delivery
from sandbox.webhooks.payloads import body
from sandbox.webhooks.rules import Rule, Rules
from sandbox.webhooks.sender import Sender
from sandbox.webhooks.store import Store
from sandbox.webhooks.subscriptions import wants
from sandbox.world import World

RETRY_SECONDS = 60
RETRIES = 30
WORKERS = 16
LOG_LENGTH = 2_000
DELETED = "the webhook was deleted"
RELEASES = ("send", "double", "drop", "shuffle")
Train = list[Delivery]  # sent one after another, in this order


class Deliveries:
    """The pool. `changed` is called with a delivery whenever its state moves."""

    def __init__(
        self, world: World, sender: Sender, store: Store, changed: Callable[[Delivery], None]
    ) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self._sender = sender
        self._store = store
        self._changed = changed
        self.rules = Rules()
        self._log: OrderedDict[int, Delivery] = OrderedDict()
        self._due: list[tuple[float, int, Train]] = []
        self._held: dict[int, Delivery] = {}
        self._shuffling: dict[int, Train] = {}
        self._forgotten = 0  # deliveries up to this number are no more
        self._places = itertools.count()
        self._wake = threading.Condition()
        self._numbers = itertools.count(1 + self._load())

    def start(self) -> None:
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True, name="webhooks").start()

    def _load(self) -> int:
        """Take up what waited when the sandbox ended; the highest number among it."""
        waited = self._store.load()
        with self._wake:
            for delivery in waited:
                self._log[delivery.id] = delivery
                if delivery.state == HELD:
                    self._held[delivery.id] = delivery
                else:
                    self._schedule([delivery], delivery.next_try or self._clock.time())
        return max((delivery.id for delivery in waited), default=0)

    def hear(self, happened: list[Happening]) -> None:
        """Queue what subscribers want to know; a listener of the world."""
        hooks = [hook for hook in list(self._world.hooks.values()) if not hook.deleted]
        queued: list[Delivery] = []
        for happening in happened if hooks else []:
            for hook in hooks:
                if wants(hook, happening):
                    found = Delivery(
                        id=0,
                        webhook_id=hook.id,
                        board_id=hook.board_id,
                        url=hook.url,
                        event=hook.event,
                        user_id=happening.user_id,
                        about=_about(happening),
                        body=body(hook.id, happening),
                    )
                    queued += self._queue(found)
        self._tell(queued)

    def _queue(self, delivery: Delivery) -> list[Delivery]:
        """Number it and send it on its way, as the rules have it; it, and its twins."""
        rule = self.rules.hit(delivery.event, delivery.webhook_id)
        with self._wake:
            delivery.id = next(self._numbers)
            self._enter(delivery)
            if rule is None:
                self._schedule([delivery], self._clock.time())
                return [delivery]
            delivery.rule = rule.rule
            return self._obey(rule, delivery)

    def _obey(self, rule: Rule, delivery: Delivery) -> list[Delivery]:
        now = self._clock.time()
        touched = [delivery]
        if rule.rule == "drop":
            delivery.state = DROPPED
        elif rule.rule == "double":
            touched += self._twins(delivery, rule.times - 1, rule.fresh_uuid)
            for one in touched:
                self._schedule([one], now)
        elif rule.rule == "delay":
            self._schedule([delivery], now + rule.seconds)
            delivery.state = DELAYED
        else:
            self._hold(delivery)
            if rule.rule == "reorder":
                touched += self._collect(rule, delivery)
        return touched

    def _collect(self, rule: Rule, delivery: Delivery) -> Train:
        """Keep it with the others of its rule; once they are complete, they leave in another order."""
        together = self._shuffling.setdefault(rule.id, [])
        together.append(delivery)
        if len(together) < rule.n:
            return []
        del self._shuffling[rule.id]
        leaving = [one for one in together if self._held.pop(one.id, None)]
        self._schedule(shuffled(leaving, rule.seed), self._clock.time())
        return leaving

    def _twins(self, delivery: Delivery, count: int, fresh_uuid: bool) -> Train:
        twins = [delivery.again(next(self._numbers), fresh_uuid) for _ in range(count)]
        for twin in twins:
            self._enter(twin)
        return twins

    def _hold(self, delivery: Delivery) -> None:
        delivery.state = HELD
        self._held[delivery.id] = delivery

    def _enter(self, delivery: Delivery) -> None:
        self._log[delivery.id] = delivery
        while len(self._log) > LOG_LENGTH:
            self._log.popitem(last=False)

    def _schedule(self, train: Train, moment: float) -> None:
        for delivery in train:
            delivery.next_try = moment
            if delivery.state == HELD:
                delivery.state = WAITING
        if train:
            heapq.heappush(self._due, (moment, next(self._places), train))
            self._wake.notify()

    def release(self, how: str = "send", ids: list[int] | None = None, seed: int = 0) -> int:
        """Let held deliveries go (those with these ids; None: all) one after another; how many there were.

        `how` sends them as they came, sends each twice, drops them, or sends them in another order. Without
        `ids` the rules that hold end too, so that what comes later is sent as usual.
        """
        if ids is None:
            self.rules.clear(("hold", "reorder"))
        with self._wake:
            chosen = [one for one in self._held.values() if ids is None or one.id in ids]
            for one in chosen:
                del self._held[one.id]
            for together in self._shuffling.values():
                together[:] = [one for one in together if one.id in self._held]
            if how == "drop":
                for one in chosen:
                    one.state, one.rule = DROPPED, "drop"
                leaving = []
            elif how == "double":
                leaving = [twin for one in chosen for twin in (one, *self._twins(one, 1, False))]
            else:
                leaving = shuffled(chosen, seed) if how == "shuffle" else chosen
            self._schedule(leaving, self._clock.time())
        self._tell(leaving or chosen)
        return len(chosen)

    def held(self) -> int:
        """How many deliveries are kept until they are released."""
        with self._wake:
            return len(self._held)

    def clock_moved(self) -> None:
        """Look again at what is due."""
        with self._wake:
            self._wake.notify_all()

    def log(self) -> list[Delivery]:
        """Deliveries, oldest first."""
        with self._wake:
            return list(self._log.values())

    def last(self, count: int) -> list[Delivery]:
        """The last deliveries, oldest first."""
        return self.log()[-count:]

    def clear(self) -> None:
        """Forget the log, the rules, and everything that waits."""
        self.rules.clear()
        with self._wake:
            for kept in (self._log, self._due, self._held, self._shuffling):
                kept.clear()
            self._forgotten = next(self._numbers)
            self._store.clear()

    def handshake(self, url: str) -> bool:
        """Whether the address answers a challenge as Monday wants it."""
        return self._sender.handshake(url)

    def _tell(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._store.keep(*deliveries)
        for delivery in deliveries:
            self._changed(delivery)

    def _work(self) -> None:
        while True:
            for delivery in self._next():
                self._deliver(delivery)

    def _next(self) -> Train:
        with self._wake:
            while True:
                wait = self._due[0][0] - self._clock.time() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._wake.wait(wait)

    def _deliver(self, delivery: Delivery) -> None:
        if self._gone(delivery):
            status, error, spent = None, DELETED, 0.0
        else:
            event = delivery.body["event"]
            event["isRetry"] = bool(delivery.tries)
            if "retryCount" in event:
                event["retryCount"] = len(delivery.tries)
            started = time.monotonic()
            status, error = self._sender.post(
                delivery.url, delivery.body, delivery.user_id, self._clock.time()
            )
            spent = time.monotonic() - started
        with self._wake:
            self._settle(delivery, status, error, round(spent * 1000))
        if delivery.id > self._forgotten:
            self._tell([delivery])

    def _settle(self, delivery: Delivery, status: int | None, error: str, milliseconds: int) -> None:
        now = self._clock.time()
        delivery.tries.append({"at": now, "status": status, "ms": milliseconds, "error": error})
        delivery.next_try = None
        if status == 200:
            delivery.state = DELIVERED
        elif len(delivery.tries) > RETRIES or self._gone(delivery):
            delivery.state = GIVEN_UP
        elif delivery.id > self._forgotten:
            delivery.state = RETRYING
            self._schedule([delivery], now + RETRY_SECONDS)

    def _gone(self, delivery: Delivery) -> bool:
        hook = self._world.hooks.get(delivery.webhook_id)
        return hook is None or hook.deleted


def shuffled(train: Train, seed: int) -> Train:
    """The same in an order that `seed` gives, and never the one they came in, where there are two."""
    order = list(train)
    source = random.Random(seed)  # noqa: S311 -- an order that repeats is wanted
    while len(train) > 1 and order == train:
        source.shuffle(order)
    return order


def _about(happening: Happening) -> str:
    if happening.column is None:
        return happening.item_name
    return f"{happening.column.title} · {happening.item_name}".strip(" ·")

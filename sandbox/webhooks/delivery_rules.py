"""What a test or a demo does to deliveries on their way: the faults that Monday's users report.

Events that never came, came twice, late, or in another order, of which developer.monday.com/api-
reference/reference/webhooks promises none (community.monday.com, threads 116255, 123925 and 86426).
"""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.checks import BadRequestError, amount, one_of, whole
from sandbox.webhooks.subscriptions import NAMES

KINDS = ("drop", "double", "delay", "reorder", "hold")
LONGEST_DELAY = 3_600  # seconds
MOST_COPIES = 20
MOST_TOGETHER = 1_000
MOST = 1_000_000


@dataclass
class Rule:
    """One rule. It looks at the deliveries of `event` and `webhook_id` (None: of any), applies to every
    `every`-th of them, and ends after it applied to `count` (None: never by itself).

    drop: never sent. double: sent `times` times, with the same `triggerUuid`, or each with one of its own when
    `fresh_uuid`. delay: sent `seconds` of the sandbox's time later. reorder: `n` are kept until they are
    complete, then sent one after another in an order that `seed` gives. hold: kept until they are released.
    """

    id: int
    rule: str
    event: str | None = None
    webhook_id: int | None = None
    count: int | None = None
    every: int = 1
    seconds: float = 0.0
    times: int = 2
    fresh_uuid: bool = False
    n: int = 2
    seed: int = 0
    seen: int = 0
    applied: int = 0

    def applies_to(self, event: str, webhook_id: int) -> bool:
        return self.event in (None, event) and self.webhook_id in (None, webhook_id)

    def description(self) -> str:
        """What it does, for the page."""
        extra = {
            "double": f"sent {self.times} times",
            "delay": f"delayed {self.seconds:,.0f} s",
            "reorder": f"{self.n} sent in another order",
            "hold": "held",
            "drop": "dropped",
        }[self.rule]
        whose = self.event or "any event"
        often = f", every {self.every}th" if self.every > 1 else ""
        left = "" if self.count is None else f", {self.count - self.applied} to go"
        return f"{whose}: {extra}{often}{left}"


def rule_from(number: int, given: Mapping[str, Any]) -> Rule:
    """The rule that a JSON object describes. Raises BadRequestError."""
    kind = one_of(given.get("rule"), "rule", KINDS)
    known = {"rule", "event", "webhook_id", "count", "every"} | set(OWN.get(kind, ()))
    if set(given) - known:
        raise BadRequestError(f"unknown keys for {kind}: {', '.join(sorted(set(given) - known))}")
    if given.get("event") is not None:
        one_of(given["event"], "event", NAMES)
    rule = Rule(number, kind, event=given.get("event"), count=FIRST_COUNT.get(kind, 1))
    for key, (least, most) in WHOLE.items():
        if key not in given:
            continue
        value = given[key]
        if isinstance(value, str) and key == "webhook_id" and value.isdecimal():
            value = int(value)  # the API gives ids as strings
        setattr(rule, key, None if value is None and key in OPTIONAL else whole(value, key, least, most))
    seconds, fresh = given.get("seconds", 60 if kind == "delay" else 0), given.get("fresh_uuid", False)
    if not isinstance(fresh, bool):
        raise BadRequestError("fresh_uuid is true or false")
    rule.seconds = float(amount(seconds, f"seconds is a number from 0 to {LONGEST_DELAY:,}", LONGEST_DELAY))
    rule.fresh_uuid = fresh
    if kind == "reorder" and "count" not in given:
        rule.count = rule.n
    return rule


OWN = {"double": ("times", "fresh_uuid"), "delay": ("seconds",), "reorder": ("n", "seed")}
FIRST_COUNT: dict[str, int | None] = {"hold": None}
OPTIONAL = ("count", "webhook_id")

WHOLE = {
    "webhook_id": (1, 10**15),
    "count": (1, MOST),
    "every": (1, MOST),
    "times": (2, MOST_COPIES),
    "n": (2, MOST_TOGETHER),
    "seed": (0, 2**63),
}


class Rules:
    """The rules in force, in the order in which they were given."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, given: list[Mapping[str, Any]]) -> None:
        """All of them or, when one is none, nothing. Raises BadRequestError."""
        made = [rule_from(next(self._numbers), one) for one in given]
        with self._lock:
            self._rules += made

    def hit(self, event: str, webhook_id: int) -> Rule | None:
        """The first rule that applies to this delivery; those before it have looked at it."""
        with self._lock:
            for rule in self._rules:
                if not rule.applies_to(event, webhook_id):
                    continue
                rule.seen += 1
                if rule.seen % rule.every == 0:
                    rule.applied += 1
                    if rule.count is not None and rule.applied >= rule.count:
                        self._rules.remove(rule)
                    return rule
        return None

    def all(self) -> list[Rule]:
        with self._lock:
            return list(self._rules)

    def clear(self, kinds: tuple[str, ...] = KINDS) -> None:
        """End the rules of these kinds."""
        with self._lock:
            self._rules = [rule for rule in self._rules if rule.rule not in kinds]

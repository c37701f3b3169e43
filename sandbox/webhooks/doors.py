"""`/_control/webhooks`: subscriptions, deliveries, and the rules that hit them."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sandbox.given import guarded, number
from sandbox.web import BadRequestError, Request, Response, Route, json_response, route, whole
from sandbox.webhooks.deliveries import RELEASES, Deliveries
from sandbox.webhooks.rules import RuleError
from sandbox.world import World

LARGEST_SEED = 2**63


class WebhookDoors:
    """The handlers. `changed` is called when rules or held deliveries are others than before."""

    def __init__(self, world: World, deliveries: Deliveries, changed: Callable[[], None]) -> None:
        self._world = world
        self._deliveries = deliveries
        self._changed = changed

    def routes(self) -> list[Route]:
        return [
            route("GET", "/_control/webhooks", self.show),
            route("POST", "/_control/webhooks", guarded(self.add_rules)),
            route("DELETE", "/_control/webhooks", guarded(self.clear_rules)),
            route("POST", "/_control/webhooks/release", guarded(self.release)),
        ]

    def show(self, request: Request) -> Response:
        """Who subscribed to what, the delivery log (`?since=ID` leaves out those up to it), and the rules."""
        hooks = [
            {"id": str(hook.id), "board_id": str(hook.board_id), "event": hook.event, "config": hook.config}
            for hook in list(self._world.hooks.values())
            if not hook.deleted
        ]
        since = whole(request.query.get("since", "")) or 0
        log = [one.shown() for one in self._deliveries.log() if one.id > since]
        return json_response({"webhooks": hooks, "deliveries": log, "rules": self._rules()})

    def add_rules(self, request: Request) -> Response:
        """`{rule: drop|double|delay|reorder|hold, …}` or a list of them; `webhooks.rules` says what each takes."""
        given = request.json()
        asked = given if isinstance(given, list) else [given]
        if not all(isinstance(one, dict) for one in asked):
            raise BadRequestError("a rule is a JSON object")
        try:
            self._deliveries.rules.add(asked)
        except RuleError as bad:
            raise BadRequestError(str(bad)) from None
        self._changed()
        return json_response(self._rules())

    def clear_rules(self, request: Request) -> Response:
        """End all rules. What they hold stays held until it is released."""
        self._deliveries.rules.clear()
        self._changed()
        return json_response([])

    def release(self, request: Request) -> Response:
        """`{how: send|double|drop|shuffle, ids?, seed?}`: let held deliveries go, and end the rules that hold."""
        given = request.object()
        how = given.get("how", "send")
        if how not in RELEASES:
            raise BadRequestError(f"how is one of {', '.join(RELEASES)}")
        ids = given.get("ids")
        if ids is not None and not (isinstance(ids, list) and all(type(one) is int for one in ids)):
            raise BadRequestError("ids is a list of the ids of deliveries")
        seed = number(given, "seed", 0)
        if not 0 <= seed <= LARGEST_SEED:
            raise BadRequestError(f"seed is a whole number from 0 to {LARGEST_SEED:,}")
        count = self._deliveries.release(how, ids, seed)
        self._changed()
        return json_response({"released": count, "rules": self._rules()})

    def _rules(self) -> list[dict[str, Any]]:
        return [asdict(rule) | {"words": rule.words()} for rule in self._deliveries.rules.all()]

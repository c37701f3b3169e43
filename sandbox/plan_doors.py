"""`/_control/plan`: which limits hold, what is used of them, and what other tokens of the account use."""

from collections.abc import Callable
from typing import Any

from sandbox.given import guarded
from sandbox.limits import Limits
from sandbox.plans import LIMIT_NAMES, PlanError, plan_from
from sandbox.usage import KEPT_DAYS
from sandbox.web import BadRequestError, Request, Response, Route, json_response, route

MOST_CALLS = 1_000_000
LONGEST_LAG = KEPT_DAYS * 86_400  # seconds; older calls are forgotten


class PlanDoors:
    """The handlers. `changed` is called after each change."""

    def __init__(self, limits: Limits, changed: Callable[[], None]) -> None:
        self._limits = limits
        self._changed = changed

    def routes(self) -> list[Route]:
        return [
            route("GET", "/_control/plan", self.show),
            route("POST", "/_control/plan", guarded(self.change)),
        ]

    def show(self, request: Request) -> Response:
        """The plan, its limits, what is used of each, and how many requests each code refused."""
        return json_response(self._limits.shown())

    def change(self, request: Request) -> Response:
        """`{plan?, day?, minute?, concurrent?, points?, address?, used?, others?, lag?}`; all or nothing.

        `plan` null lets everything through; single limits stand in for the plan's own. `used` are the calls
        of today so far; `others` are calls that the account's other tokens make now; `lag` is how many seconds old
        `platform_api`'s figures are.
        """
        given = request.object()
        unknown = set(given) - {"plan", "used", "others", "lag", *LIMIT_NAMES}
        if unknown or not given:
            raise BadRequestError(f"send plan, used, others, lag, or one of {', '.join(LIMIT_NAMES)}")
        used, others = _whole(given, "used", MOST_CALLS), _whole(given, "others", MOST_CALLS)
        lag = _whole(given, "lag", LONGEST_LAG)
        own = {key: given[key] for key in LIMIT_NAMES if key in given}
        if own or "plan" in given:
            kept = self._limits.plan.name if self._limits.plan else None
            try:
                self._limits.set_plan(plan_from(given.get("plan", kept), own))
            except PlanError as bad:
                raise BadRequestError(str(bad)) from None
        if lag is not None:
            self._limits.set_lag(lag)
        if used is not None:
            self._limits.set_used(used)
        if others:
            self._limits.use_by_others(others)
        self._changed()
        return self.show(request)


def _whole(given: dict[str, Any], key: str, most: int) -> int | None:
    value = given.get(key)
    if key in given and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most):
        raise BadRequestError(f"{key} is a whole number from 0 to {most:,}")
    return value

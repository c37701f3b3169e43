"""Monday's plans and what each allows (developer.monday.com/api-reference/docs/rate-limits)."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

LARGEST_LIMIT = 1_000_000_000
MINUTE_SECONDS = 60
ADDRESS_SECONDS = 10
QUERY_POINTS = 5_000_000  # one request's most, whatever the plan
FIELDS_A_MINUTE = {"create_board": 40}  # of those that the sandbox plays; which body refuses is not published
DEFAULT_POINTS = 10_000_000  # a personal token's minute, reads and writes together


class PlanError(ValueError):
    """What was asked for is no plan; the text says why."""


@dataclass(frozen=True)
class Plan:
    """What an account may use.

    `day` calls from midnight to midnight UTC, `minute` calls and `points` of complexity within 60 seconds from a
    window's first call, `concurrent` calls at once, and `address` calls of one network address within 10 seconds.
    """

    name: str
    day: int
    minute: int
    concurrent: int
    points: int = DEFAULT_POINTS
    address: int = 5_000

    def shown(self) -> dict[str, Any]:
        """Its limits by name."""
        return {key: value for key, value in asdict(self).items() if key != "name"}


PLANS = {
    plan.name: plan
    for plan in (
        Plan("free", 1_000, 1_000, 40, points=1_000_000),
        Plan("standard", 1_000, 1_000, 40),
        Plan("pro", 10_000, 2_500, 100),
        Plan("enterprise", 25_000, 5_000, 250),
    )
}
LIMIT_NAMES = tuple(field.name for field in fields(Plan) if field.name != "name")


def plan_from(name: Any, others: dict[str, Any]) -> Plan | None:
    """The plan of this name, with `others` in place of its own limits; None for no plan. Raises PlanError."""
    if name is None:
        if others:
            raise PlanError(
                f"{', '.join(sorted(others))}: without a plan nothing is limited; name a plan too"
            )
        return None
    if not isinstance(name, str) or name not in PLANS:
        raise PlanError(f"plan is null or one of {', '.join(PLANS)}")
    for key, limit in others.items():
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LARGEST_LIMIT:
            raise PlanError(f"{key} is a whole number from 1 to {LARGEST_LIMIT:,}")
    return replace(PLANS[name], **others)

"""Resolvers of the account's plan and of how much of its API it has used."""

from datetime import UTC, datetime
from typing import Any

from sandbox.limits import Limits
from sandbox.people import ACCOUNT_ID, person

UNLIMITED_TIER = "pro"  # what an account of no plan in particular calls itself
ACCOUNT = {
    "id": ACCOUNT_ID,
    "name": "Sandbox",
    "slug": "sandbox",
    "country_code": "US",
    "first_day_of_the_week": "monday",
    "show_timeline_weekends": True,
}


def account(_: Any, info: Any) -> dict[str, Any]:
    plan = _limits(info).plan
    tier = plan.name if plan else UNLIMITED_TIER
    return ACCOUNT | {
        "tier": tier,
        "plan": {"max_users": 10, "period": "monthly", "tier": tier, "version": 1},
    }


def platform_api(_: Any, info: Any) -> dict[str, Any]:
    """The day's limit, and what was used until `last_updated`; a personal token belongs to no app."""
    limits = _limits(info)
    with limits.figures() as usage:
        told = datetime.fromtimestamp(usage.told_until(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        by_day, by_user = usage.by_day(), usage.by_user()
    day = limits.plan.day if limits.plan else None
    addon = {"is_active": False, "quantity": 0} if limits.plan else None
    return {
        "daily_limit": {"base": day, "total": day, "addon": addon},
        "daily_analytics": {
            "last_updated": told,
            "by_day": [{"day": one, "usage": calls} for one, calls in by_day.items()],
            "by_app": [],
            "by_user": [{"user": person(user_id), "usage": calls} for user_id, calls in by_user.items()],
        },
    }


def _limits(info: Any) -> Limits:
    limits: Limits = info.context.limits
    return limits


QUERY = {"account": account, "platform_api": platform_api}
USER = {"account": account}

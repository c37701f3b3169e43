"""What Monday says of the account, and of what a call used of its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sync.monday.errors import MondayError


@dataclass(frozen=True)
class AccountInfo:
    """What Monday says of the token and its account; empty or None where it says nothing."""

    user_id: str = ""
    user_name: str = ""
    time_zone: str = ""  # of the token's user, by its IANA name
    tier: str = ""
    version_value: str = ""  # that answered
    version_kind: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)  # the kind of every version
    day_limit: int | None = None  # calls of a UTC day for all tokens, extensions included
    unlimited: bool = False  # Monday answered that the day has no limit, which is more than not answering
    usage_by_day: Mapping[str, int] = field(default_factory=dict)  # calls used, by ISO date
    usage_as_of: datetime | None = None
    field_errors: tuple[MondayError, ...] = ()  # of the fields that Monday didn't answer


@dataclass(frozen=True)
class Complexity:
    """Points of one call and of the minute's budget (developer.monday.com/api-reference/docs/rate-limits)."""

    query: int
    before: int
    after: int
    reset_in_seconds: int


@dataclass(frozen=True)
class Limits:
    """What the headers RateLimit-Policy and RateLimit say; None for what they don't name.

    `…_limit` is the quota of a whole window, `…_left` what remains of it, `…_reset` in how many seconds the
    window ends (developer.monday.com/api-reference/docs/rate-limits).
    """

    minute_limit: int | None = None
    minute_left: int | None = None
    minute_reset: int | None = None
    concurrency_limit: int | None = None
    points_limit: int | None = None
    points_left: int | None = None
    points_reset: int | None = None

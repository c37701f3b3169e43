"""How often a user may ask; the rates are settings (API_THROTTLE, SYNC_NOW_THROTTLE)."""

from rest_framework.throttling import UserRateThrottle


class SyncNowThrottle(UserRateThrottle):
    """Pushes by name, per user: each may cost calls of Monday's allowance."""

    scope = "sync-to-monday"

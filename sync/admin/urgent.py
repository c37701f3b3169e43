"""How often a person may ask Monday from a page: such a call goes before all others, so it has the rate of pushes."""

from __future__ import annotations

from math import ceil
from typing import Any, cast

from django.http import HttpRequest
from django.utils.translation import gettext as _

from sync.api.throttles import SyncNowThrottle


def too_often(request: HttpRequest) -> str:
    """Say why Monday isn't asked for this person now, and count the question where it may be; empty if it may be."""
    throttle = SyncNowThrottle()
    if throttle.allow_request(cast("Any", request), cast("Any", None)):
        return ""
    return _("You have asked Monday very often just now. Try again in %(n)s s.") % {
        "n": ceil(throttle.wait() or 60)
    }

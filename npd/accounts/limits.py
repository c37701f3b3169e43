"""How many passwords and codes may be wrong: counted by user and address, and by address; refused, logged, counted.

django-allauth's own limits are off. They are counted by the name that was typed, from wherever, so that anybody could
lock anybody out; and in Django's cache, of which each process has its own. These are rows, beside those of the API.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from math import ceil
from typing import Any

import structlog
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from sync.api.callers import address_of_caller, count_request, network_of
from sync.clock import sync_now
from sync.kernel.humanize import count_with_noun
from sync.models import RequestCount

log = structlog.get_logger(__name__)


def check(request: HttpRequest, name: str) -> None:
    """Raise the answer to an attempt during a wait, before anything is hashed: 429, and when the next is accepted."""
    limits = _limits(request, name)
    counts = RequestCount.objects.filter(key__in=[f"sign-in:{caller}" for caller in limits], ends_at__gt=sync_now())
    full = [one for one in counts if one.requests >= limits[one.key.removeprefix("sign-in:")]]
    if full:
        log_attempt(request, name, "refused")
        _refuse(request, max((one.ends_at - sync_now()).total_seconds() for one in full))


def note_failure(request: HttpRequest, name: str) -> None:
    """Count a wrong password or code; the last that is allowed is answered as one that is refused.

    A wait begins with it, and no attempt prolongs that.
    """
    log_attempt(request, name, "failed")
    seconds = int(settings.LOGIN_WAIT.total_seconds())
    is_last = False
    for caller, limit in _limits(request, name).items():
        quota = count_request("sign-in", caller, limit, seconds)
        if not quota.remaining:
            is_last = True
            RequestCount.objects.filter(key=f"sign-in:{caller}", requests=limit).update(
                ends_at=sync_now() + timedelta(seconds=seconds)
            )
    if is_last:
        _refuse(request, seconds)


def forget_failures(request: HttpRequest, name: str) -> None:
    """Who has signed in starts anew from there.

    The address's other failures stay, or who knows one password could guess the others for ever.
    """
    of_user, _of_address = _limits(request, name)
    RequestCount.objects.filter(key=f"sign-in:{of_user}").delete()


def end_waits(of: str) -> int:
    """End the waits of a user's name, from everywhere, or of an address; return how many counts were deleted."""
    address = f"sign-in:{network_of(of)}"
    of_address = Q(key=address) | Q(key__startswith=f"{address}/")
    of_name = Q(key__startswith="sign-in:", key__endswith=f"/{mark(of)}")
    return int(RequestCount.objects.filter(of_address if network_of(of) else of_name).delete()[0])


def _limits(request: HttpRequest, name: str) -> dict[str, int]:
    address = address_of_caller(request)
    return {f"{address}/{mark(name)}": settings.LOGIN_FAILURES, address: settings.LOGIN_ADDRESS_FAILURES}


def mark(name: str) -> str:
    """Return what names a name, or a session's key, without being it: what was typed as a name may be a password."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def log_attempt(request: HttpRequest, name: str, result: str) -> None:
    """Leave a line; what was typed as a name may be a password, so only a user's name is logged."""
    user = name if User.objects.filter(username=name).exists() else None
    log.warning("login", result=result, user=user, address=address_of_caller(request))


def _refuse(request: HttpRequest, seconds: float) -> None:
    minutes = count_with_noun(ceil(seconds / 60), "minute")
    sentence = (
        f"Too many failed sign-ins. Wait {minutes}, then try again. "
        "If you forgot your password, ask an administrator for a new one."
    )
    heading = "Wait before you try again"
    raise ImmediateHttpResponse(wait_response(request, 429, max(1, ceil(seconds)), heading, sentence))


def wait_response(request: HttpRequest, status: int, seconds: int, heading: Any, sentence: Any) -> HttpResponse:
    """Return the page of who is not signed in now, and may be later."""
    page = render(request, "registration/wait.html", {"heading": heading, "sentence": sentence}, status=status)
    page.headers["Retry-After"] = str(seconds)
    return page

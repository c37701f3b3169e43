"""Signing in: guesses are slowed, logged and counted, and hashing passwords never takes the whole process.

django-axes stores the failures. Whoever fails ten times for one user from one address waits fifteen minutes,
and so does an address that fails fifty times; from elsewhere everybody signs in as before, so nobody can be
locked out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any
from urllib.parse import urlencode

import structlog
from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import get_user_model
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from config import error_pages
from npd.accounts.second_factor import Proof, is_required, proof_of
from npd.accounts.signed_in import note_sign_in, note_use
from sync.api.problems import problem
from sync.kernel import counters
from sync.kernel.humanize import count_with_noun
from sync.kernel.outgoing_calls import own_address

log = structlog.get_logger(__name__)

MAX_CONCURRENT_LOGINS = 3
"""How many of the web process's threads logins may use: one hashes a password, the others wait for it."""
# Hashing a password takes some tenths of a second, so that a place is soon free.
BUSY_SECONDS = 2
NAME_CHARACTERS = 255
"""Characters of a name that axes' column takes; no user's is as long."""

Respond = Callable[[HttpRequest], HttpResponse]


class SignInForm(AdminAuthenticationForm):
    """Name and password; what is wrong is said in words that don't need to know what staff is."""

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "The username or the password is wrong, or this user may not sign in here. Small and capital "
        "letters matter.",
    }


def address_of(request: HttpRequest) -> str | None:
    """Return where a request comes from: waitress puts a trusted proxy's word here; of IPv6 one household."""
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ip_network((address, 64), strict=False).network_address)


def name_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """Return the name that was typed, cut to what the column takes, so that every attempt can be counted."""
    name = (credentials or request.POST).get("username")
    return None if name is None else str(name)[:NAME_CHARACTERS]


class LoginFailures(AxesDatabaseHandler):  # type: ignore[misc]
    """The failures that axes stores, limited by user and address, and by address; logged and counted."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return those of this user from this address; or the address's own, with five times the limit."""
        of_user, of_address = (
            found.aggregate(told=Sum("failures_since_start"))["told"] or 0
            for found in self.get_user_attempts(request, credentials)
        )
        limit: int = settings.AXES_FAILURE_LIMIT
        return int(max(of_user, of_address * limit // settings.LOGIN_ADDRESS_FAILURES))

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        # The address's other failures stay, or who knows one password could guess the others for ever.
        of_user, _of_address = self.filter_user_attempts(request, credentials)
        return int(of_user.delete()[0])

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
        """Log and store it; an attempt during a lock-out is logged too, and prolongs nothing."""
        result = counters.LOGIN_REFUSED if getattr(request, "axes_locked_out", False) else counters.LOGIN_FAILED
        # What was typed as a name may be a password, so only an existing user's name is logged.
        name = str(credentials.get("username"))
        user = name if get_user_model()._default_manager.filter(username=name).exists() else None
        log.warning("login", result=result, user=user, address=address_of(request))
        counters.increment([counters.Increment(counters.LOGINS, label=result)])
        super().user_login_failed(sender, credentials, request, **kwargs)

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Count it, note where it was, and delete the user's failures, unless a code is still to come.

        Who knows the password alone could otherwise guess codes for ever, by signing in again before the tenth.
        """
        note_sign_in(request.session, agent=request.headers.get("User-Agent", ""), address=address_of(request) or "")
        if proof_of(request.session, user) is Proof.NEEDED:
            return
        counters.increment([counters.Increment(counters.LOGINS, label=counters.LOGIN_DONE)])
        super().user_logged_in(sender, request, user, **kwargs)


def lockout_response(request: HttpRequest, response: Any, credentials: dict[str, Any] | None = None) -> HttpResponse:
    """Return the answer to an attempt during a lock-out: 429, and when the next one is accepted."""
    attempts = AxesProxyHandler.get_implementation().get_user_attempts(request, credentials)
    # The last are those of the address alone (AXES_LOCKOUT_PARAMETERS); the user's from there are among them.
    newest = attempts[-1].aggregate(newest=Max("attempt_time"))["newest"]
    wait = timedelta() if newest is None else newest - get_cool_off_threshold(request)
    seconds = max(1, ceil(wait.total_seconds()))
    minutes = count_with_noun(ceil(seconds / 60), "minute")
    sentence = (
        f"Too many failed sign-ins. Wait {minutes}, then try again. "
        "If you forgot your password, ask an administrator for a new one."
    )
    return _wait_response(request, 429, seconds, "Wait before you try again", sentence)


def _wait_response(request: HttpRequest, status: int, seconds: int, heading: str, sentence: str) -> HttpResponse:
    context = {"heading": heading, "sentence": sentence}
    page = render(request, "registration/wait.html", context, status=status)
    page.headers["Retry-After"] = str(seconds)
    return page


class LoginGate:
    """Lets few logins in at a time: a password's hash costs a third of a second of a core, and anybody may
    ask.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response
        self.seats = threading.BoundedSemaphore(MAX_CONCURRENT_LOGINS)
        self.hashing = threading.Lock()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST" or request.path_info != reverse("admin:login"):
            return self.get_response(request)
        if not self.seats.acquire(blocking=False):
            counters.increment([counters.Increment(counters.LOGINS, label=counters.LOGIN_REFUSED)])
            sentence = (
                "Too many people are signing in right now, so your password was not checked. Try again in a "
                "few seconds."
            )
            return _wait_response(request, 503, BUSY_SECONDS, "Try again in a moment", sentence)
        try:
            with self.hashing:
                return self.get_response(request)
        finally:
            self.seats.release()


class SecondFactorGate:
    """Lets a session that has still to prove who it is no further than the page that asks for the code.

    A request with an API token is none of it: a token was given to a program, which has no phone.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The cookie first: a program has none, and who it is the API finds out later, by its token.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return self.get_response(request)
        proof = proof_of(request.session, request.user)
        wanted = ""
        if proof is Proof.NEEDED:
            wanted = reverse("npd-two-factor")
        elif proof is Proof.NONE and is_required(request.user):
            wanted = reverse("npd-two-factor-set-up")
        note_use(request.session)
        path = request.path_info
        if not wanted or path in (wanted, reverse("admin:logout"), reverse("admin:login")):
            return self.get_response(request)
        if path.startswith(("/api/", "/admin/live/")):
            sentence = (
                "This session has not passed two-factor authentication yet. Enter the code in the browser, or "
                "use an API token."
            )
            return problem(403, "second_factor", sentence)
        return redirect(f"{wanted}?{urlencode({'next': page_of(request)})}")


def page_of(request: HttpRequest) -> str:
    """Return the page that a person is on: of what a form sends, the one that the form stands on or leads back to."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    given = (request.POST.get("next"), request.POST.get("back"), request.headers.get("Referer"))
    return own_address(request, *given) or reverse("admin:index")


class LostActMiddleware:
    """An act's address takes a form and is no page: who signs in after one is led to a page.

    Who opens one as a page is told so.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request; the API's addresses say it in their own way."""
        response = self.get_response(request)
        if not request.path_info.startswith("/admin/"):
            return response
        if response.status_code == 405:
            return error_pages.form_missing(request, response.headers["Allow"])
        login = reverse("admin:login")
        if request.method == "POST" and response.headers.get("Location", "").startswith(f"{login}?"):
            return redirect(f"{login}?{urlencode({'next': page_of(request), 'lost': 1})}")
        return response

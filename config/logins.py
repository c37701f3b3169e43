"""Signing in: hashing passwords never takes the whole process, and nobody gets on without the second factor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlencode

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.timezone import now

from config.middleware import form_missing
from npd.accounts.limits import wait_response
from npd.accounts.second_factor import PASSED_KEY, is_required
from sync.api.problems import problem
from sync.kernel import counters
from sync.kernel.outgoing_calls import own_address

MAX_CONCURRENT_LOGINS = 3
"""How many of the web process's threads logins may use: one hashes a password, the others wait for it."""
# Hashing a password takes some tenths of a second, so that a place is soon free.
MAX_AT_PROVIDER = 3
"""How many threads may wait for the identity provider, which may be slow: places of their own, for passwords go on."""
BUSY_SECONDS = 2
SEEN_KEY = "seen"
SEEN_EVERY = timedelta(minutes=5)
"""A session notes that it is in use no more often than this: each note is a write."""

Respond = Callable[[HttpRequest], HttpResponse]


class LoginGate:
    """Lets few logins in at a time: a password's hash costs a third of a second of a core."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response
        self.seats = threading.BoundedSemaphore(MAX_CONCURRENT_LOGINS)
        self.hashing = threading.Lock()
        self.at_provider = threading.BoundedSemaphore(MAX_AT_PROVIDER)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(reverse("npd-provider")):
            return self.ask_provider(request)
        if request.method != "POST" or request.path_info != reverse("admin:login"):
            return self.get_response(request)
        if not self.seats.acquire(blocking=False):
            return busy(request, "your password was not checked")
        try:
            with self.hashing:
                return self.get_response(request)
        finally:
            self.seats.release()

    def ask_provider(self, request: HttpRequest) -> HttpResponse:
        """Answer what may wait for the identity provider."""
        if not self.at_provider.acquire(blocking=False):
            return busy(request, "the identity provider was not asked")
        try:
            return self.get_response(request)
        finally:
            self.at_provider.release()


def busy(request: HttpRequest, what: str) -> HttpResponse:
    counters.increment([counters.Increment(counters.LOGINS, label=counters.LOGIN_REFUSED)])
    sentence = f"Too many people are signing in right now, so {what}. Try again in a few seconds."
    return wait_response(request, 503, BUSY_SECONDS, "Try again in a moment", sentence)


class SecondFactorGate:
    """Lets a session without a second factor no further than where one is set up, where the setting asks for one.

    Who has one is signed in by it alone. A request with an API token is none of it: a token was given to a program,
    which has no phone.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The cookie first: a program has none, and who it is the API finds out later, by its token.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return self.get_response(request)
        note_use(request)
        path, set_up = request.path_info, reverse("mfa_index")
        if not is_required(request.user) or request.session.get(PASSED_KEY) or path.startswith(set_up):
            return self.get_response(request)
        if path in (reverse("account_logout"), reverse("account_login")):
            return self.get_response(request)
        if path.startswith(("/api/", "/admin/live/")):
            sentence = (
                "This session has not passed two-factor authentication yet. Set it up in the browser, or use an API "
                "token."
            )
            return problem(403, "second_factor", sentence)
        return redirect(f"{set_up}?{urlencode({'next': page_of(request)})}")


def note_use(request: HttpRequest) -> None:
    """List a session, and when it was used last, now and then; under another key at once."""
    key = request.session.session_key
    seen_key, seen = request.session.get(SEEN_KEY, (None, ""))
    if seen_key != key or now() - datetime.fromisoformat(seen) > SEEN_EVERY:
        UserSession.objects.create_from_request(request)
        request.session[SEEN_KEY] = (key, now().isoformat())


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
            return form_missing(request, response.headers["Allow"])
        login = reverse("admin:login")
        if request.method == "POST" and response.headers.get("Location", "").startswith(f"{login}?"):
            return redirect(f"{login}?{urlencode({'next': page_of(request), 'lost': 1})}")
        return response

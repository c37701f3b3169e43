"""Two-factor authentication and “Where you are signed in”: everybody's own pages, and what administrators end."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import segno
from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from npd.accounts import second_factor
from npd.accounts.second_factor import KeyLost, Locked, Proof, WrongCode
from npd.accounts.signed_in import end_sessions, session_handle, sessions_of
from sync.api.request_limits import count_request
from sync.clock import sync_now
from sync.kernel import counters, humanize
from sync.kernel.outgoing_calls import own_address

WRONG_CODE = _("This code is wrong or was already used. Wait for the next one in the app, or use a recovery code.")
WRONG_FIRST_CODE = _(
    "This code is wrong. Wait for the next one in the app, and check that the clock of your phone is right."
)
LOCKED = _(
    "Too many wrong codes were entered, so codes of the app don't work for %(span)s. A recovery code works now. If you "
    "didn't enter them, somebody knows your password: sign in with a recovery code and change it."
)
GUESSED = _(
    "Somebody who knows your password has entered %(number)s wrong codes. If that was not you, change your password "
    "now: that ends the waiting, too."
)
TRIED_OFTEN = _(
    "Too many codes were entered on this page, so none is accepted here for %(span)s. Signing in goes on as before. If "
    "you didn't enter them, end your other sessions under “Where you are signed in”."
)
WRONG_PASSWORD = _("This is not your password. Small and capital letters matter.")
PASSWORDS_TRIED = _(
    "Too many passwords were entered here, so none is accepted. Sign out, sign in again, and go on there."
)
KEY_LOST = _(
    "Codes from the app can't be checked, because this server's ENCRYPTION_KEY was changed. Use a recovery code, or "
    "ask an administrator to reset two-factor authentication."
)

CODES_A_DAY = 10
"""Tried on the page of a session that is signed in; so who has got hold of one can't guess there."""

PASSWORDS_A_SESSION = 10
"""Tried in a day by who is signed in. Counted for each session, so who has got hold of one stops the owner in none."""

DAY_SECONDS = 24 * 60 * 60


@never_cache
@sensitive_post_parameters("code")
def verify_page(request: HttpRequest) -> HttpResponse:
    """Ask for the code between the password and everything else."""
    user: Any = request.user
    if second_factor.proof_of(request.session, user) is not Proof.NEEDED:
        return HttpResponseRedirect(_next(request))
    if request.method != "POST":
        return TemplateResponse(request, "npd/second_factor.html", {"next": _next(request)})
    guessed = _verify(request)
    if isinstance(guessed, HttpResponse):
        return guessed
    second_factor.pass_session(request.session)
    if guessed:
        messages.warning(request, GUESSED % {"number": guessed})
    AxesProxyHandler.get_implementation().reset_user_attempts(request, {"username": user.get_username()})
    counters.increment([counters.Increment(counters.LOGINS, label=counters.LOGIN_DONE)])
    return HttpResponseRedirect(_next(request))


def _verify(request: HttpRequest) -> int | HttpResponse:
    """Return how many wrong codes stood before the typed one, or the answer to who gets no further with it.

    Between the password and everything else a wrong one is a failed sign-in.
    """
    user: Any = request.user
    credentials = {"username": user.get_username()}
    refused: Callable[..., HttpResponse] = import_string(settings.AXES_LOCKOUT_CALLABLE)
    if not AxesProxyHandler.is_allowed(request, credentials):
        return refused(request, None, credentials)
    try:
        return second_factor.verify(user, _typed_code(request))
    except KeyLost:
        return _asked_again(request, KEY_LOST)
    except WrongCode as why:
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
        # This wrong one may have been the last that was allowed: then its answer says so already.
        if not AxesProxyHandler.is_allowed(request, credentials):
            return refused(request, None, credentials)
        span = humanize.time_span((why.until - sync_now()).total_seconds()) if isinstance(why, Locked) else ""
        return _asked_again(request, LOCKED % {"span": span} if span else WRONG_CODE)


def _asked_again(request: HttpRequest, error: Any) -> HttpResponse:
    return TemplateResponse(request, "npd/second_factor.html", {"next": _next(request), "error": error})


@never_cache
@sensitive_post_parameters("password", "code")
def set_up_page(request: HttpRequest) -> HttpResponse:
    """Show the QR code, then take the password and the app's first code; or say that it is on, and what can be done.

    Who has only got hold of a session would take the account over by setting it up.
    """
    user: Any = request.user
    if second_factor.has_second_factor(user):
        return _settings_page(request)
    factor = second_factor.offer(user, request.session)
    error: Any = ""
    password_error = _password_error(request) if request.method == "POST" else ""
    if request.method == "POST" and not password_error:
        # The code isn't counted: the session was shown the key, so that nothing is guessed.
        try:
            codes = second_factor.confirm(user, _typed_code(request), request.session)
        except WrongCode:
            error = WRONG_FIRST_CODE
        else:
            return TemplateResponse(request, "npd/recovery_codes.html", {"codes": codes})
    drawn = segno.make(second_factor.app_address(factor), micro=False).svg_inline(scale=5, border=3, light="#fff")
    context = {
        "qr": mark_safe(drawn),  # noqa: S308 - drawn by the library, of numbers
        "key": second_factor.app_key(factor),
        "error": error,
        "password_error": password_error,
        "is_required": second_factor.is_required(user),
    }
    return TemplateResponse(request, "npd/second_factor_set_up.html", context)


def _password_error(request: HttpRequest) -> Any:
    user: Any = request.user
    if _is_password_refused(request):
        return PASSWORDS_TRIED
    return "" if user.check_password(request.POST.get("password", "")) else WRONG_PASSWORD


def _is_password_refused(request: HttpRequest) -> bool:
    """Count a password tried in this session, and return whether none is any more."""
    handle = session_handle(str(request.session.session_key))
    return count_request("password", handle, PASSWORDS_A_SESSION, DAY_SECONDS).is_used_up


@never_cache
@sensitive_post_parameters()
def change_password(request: HttpRequest) -> HttpResponse:
    """The library's page, which asks for the old password, as often as one may be tried."""
    if request.method == "POST" and _is_password_refused(request):
        context = {"heading": _("Sign in again"), "sentence": PASSWORDS_TRIED}
        return TemplateResponse(request, "plain_page.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)
    return admin.site.password_change(request)


def _settings_page(request: HttpRequest, error: Any = "") -> HttpResponse:
    user: Any = request.user
    context = {"left": len(user.second_factor.recovery), "error": error, "is_required": second_factor.is_required(user)}
    return TemplateResponse(request, "npd/second_factor_settings.html", context)


@require_POST
@never_cache
@sensitive_post_parameters("code")
def change(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes, or turn it off; each asks for a code of now."""
    user: Any = request.user
    if not second_factor.has_second_factor(user):  # another session has turned it off meanwhile
        return HttpResponseRedirect(reverse("npd-two-factor-set-up"))
    quota = count_request("two-factor", str(user.pk), CODES_A_DAY, DAY_SECONDS)
    if quota.is_used_up:
        return _settings_page(request, TRIED_OFTEN % {"span": humanize.time_span(quota.reset)})
    try:
        second_factor.use_code(user, _typed_code(request))
    except KeyLost:
        return _settings_page(request, KEY_LOST)
    except WrongCode:
        if not quota.remaining:
            second_factor.log_tried_codes(user, CODES_A_DAY)
        return _settings_page(request, WRONG_CODE)
    if request.POST.get("act") == "codes":
        codes = second_factor.renew_recovery_codes(user)
        return TemplateResponse(request, "npd/recovery_codes.html", {"codes": codes})
    second_factor.remove(user, by=user, session=request.session)
    messages.success(request, _("Two-factor authentication is off. Your other sessions have ended."))
    return HttpResponseRedirect(reverse("npd-settings"))


def _typed_code(request: HttpRequest) -> str:
    return request.POST.get("code", "")[:40]


def _next(request: HttpRequest) -> str:
    return own_address(request, request.POST.get("next"), request.GET.get("next")) or reverse("admin:index")


def sessions_page(request: HttpRequest) -> HttpResponse:
    """List where this person is signed in, and end one session or all others."""
    if request.method == "POST":
        handle = request.POST.get("session") or None
        number = end_sessions(request.user.pk, but=request.session.session_key, handle=handle)
        told = ngettext("%(number)s session has ended.", "%(number)s sessions have ended.", number)
        messages.success(request, told % {"number": number})
        return HttpResponseRedirect(reverse("npd-sessions"))
    found = sessions_of(request.user.pk, request.session.session_key)
    context = {"title": _("Where you are signed in"), "sessions": found}
    return TemplateResponse(request, "npd/sessions.html", admin.site.each_context(request) | context)

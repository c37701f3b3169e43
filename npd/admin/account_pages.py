"""Two-factor authentication and “Where you are signed in”: everybody's own pages, and what administrators end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import segno
from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from npd.accounts import second_factor
from npd.accounts.second_factor import KeyLost, Locked, Proof, WrongCode
from npd.accounts.signed_in import end_sessions, sessions_of
from sync.clock import sync_now
from sync.kernel import counters, humanize

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
KEY_LOST = _(
    "Codes from the app can't be checked, because this server's ENCRYPTION_KEY was changed. Use a recovery code, or "
    "ask an administrator to reset two-factor authentication."
)


@never_cache
@sensitive_post_parameters("code")
def verify_page(request: HttpRequest) -> HttpResponse:
    """Ask for the code between the password and everything else."""
    user: Any = request.user
    if second_factor.proof_of(request.session, user) is not Proof.NEEDED:
        return HttpResponseRedirect(_next(request))
    if request.method != "POST":
        return TemplateResponse(request, "npd/second_factor.html", {"next": _next(request)})
    wrong = list[int]()
    refusal = _try_code(request, lambda code: wrong.append(second_factor.verify(user, code)))
    if refusal is not None:
        return refusal if isinstance(refusal, HttpResponse) else _asked_again(request, refusal)
    second_factor.pass_session(request.session)
    if any(wrong):
        messages.warning(request, GUESSED % {"number": wrong[0]})
    AxesProxyHandler.get_implementation().reset_user_attempts(request, {"username": user.get_username()})
    counters.increment([counters.Increment(counters.LOGINS, label=counters.LOGIN_DONE)])
    return HttpResponseRedirect(_next(request))


def _asked_again(request: HttpRequest, error: Any) -> HttpResponse:
    return TemplateResponse(request, "npd/second_factor.html", {"next": _next(request), "error": error})


@never_cache
@sensitive_post_parameters("code")
def set_up_page(request: HttpRequest) -> HttpResponse:
    """Show the QR code, then take the app's first code; or say that it is on, and what can be done."""
    user: Any = request.user
    if second_factor.has_second_factor(user):
        return _settings_page(request)
    factor = second_factor.offer(user, request.session)
    codes: list[str] = []
    refusal: Any = None
    if request.method == "POST":
        refusal = _try_code(request, lambda code: codes.extend(second_factor.confirm(user, code, request.session)))
        if refusal is None:
            return TemplateResponse(request, "npd/recovery_codes.html", {"codes": codes})
        if isinstance(refusal, HttpResponse):
            return refusal
    drawn = segno.make(second_factor.app_address(factor), micro=False).svg_inline(scale=5, border=3, light="#fff")
    context = {
        "qr": mark_safe(drawn),  # noqa: S308 - drawn by the library, of numbers
        "key": second_factor.app_key(factor),
        "error": WRONG_FIRST_CODE if refusal else "",
        "is_required": second_factor.is_required(user),
    }
    return TemplateResponse(request, "npd/second_factor_set_up.html", context)


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
    refusal = _try_code(request, lambda code: second_factor.verify(user, code))
    if refusal is not None:
        return refusal if isinstance(refusal, HttpResponse) else _settings_page(request, refusal)
    if request.POST.get("act") == "codes":
        codes = second_factor.renew_recovery_codes(user)
        return TemplateResponse(request, "npd/recovery_codes.html", {"codes": codes})
    second_factor.remove(user, by=user, session=request.session)
    messages.success(request, _("Two-factor authentication is off. Your other sessions have ended."))
    return HttpResponseRedirect(reverse("npd-settings"))


def _try_code(request: HttpRequest, use: Callable[[str], Any]) -> HttpResponse | Any | None:
    """Use the typed code; a wrong one counts as a failed sign-in.

    Return None where it was right, else what to say, or the answer to who may not try now.
    """
    name = request.user.get_username()
    credentials = {"username": name}
    refused: Callable[..., HttpResponse] = import_string(settings.AXES_LOCKOUT_CALLABLE)
    if not AxesProxyHandler.is_allowed(request, credentials):
        return refused(request, None, credentials)
    try:
        use(request.POST.get("code", "")[:40])
    except KeyLost:
        return KEY_LOST
    except WrongCode as why:
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
        if not AxesProxyHandler.is_allowed(request, credentials):
            return refused(request, None, credentials)
        if isinstance(why, Locked):
            return LOCKED % {"span": humanize.time_span((why.until - sync_now()).total_seconds())}
        return WRONG_CODE
    return None


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if is_ours else reverse("admin:index")


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

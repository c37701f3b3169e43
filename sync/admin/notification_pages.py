"""The notifications page: a person's emails and, for superusers, the chats."""

from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, DELETION
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from sync.admin.admin_base import badge, see_other
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.mails import EMAILS_ARE_FILES, NO_EMAIL_SERVER, are_emails_files, is_email_configured
from sync.models import NotificationReceiver
from sync.models.attention import Frequency
from sync.operations import notifications
from sync.records import authors

DAILY = f"Once a day, at {notifications.DAILY_HOUR:02d}:00 UTC"


def _email_problem(user: User) -> str:
    """Return why this person can't get emails; empty if they can."""
    if not is_email_configured():
        return NO_EMAIL_SERVER
    return "" if user.email else "Your account has no email address. An administrator can enter it under Users."


class MailForm(forms.Form):
    frequency = forms.TypedChoiceField(
        label="How often",
        choices=[*Frequency.choices[:-1], (Frequency.DAILY.value, DAILY)],
        coerce=Frequency,
        initial=Frequency.OFF,
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)
        self.label_suffix = ""

    def clean_frequency(self) -> Frequency:
        frequency: Frequency = self.cleaned_data["frequency"]
        if frequency != Frequency.OFF and (problem := _email_problem(self.user)):
            raise forms.ValidationError(problem)
        return frequency


class ChatForm(forms.Form):
    name = forms.CharField(max_length=60, help_text="What you call it, like “Slack, channel sync”.")
    address = forms.CharField(
        label="Webhook address",
        max_length=2000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "placeholder": "https://…"}),
        help_text="Of Slack, Microsoft Teams, Discord or Google Chat; of Telegram tgram://bot token/chat ID. Stored "
        "encrypted and never shown again.",
    )
    frequency = forms.TypedChoiceField(
        label="How often",
        choices=[Frequency.choices[1], (Frequency.DAILY.value, DAILY)],
        coerce=Frequency,
        initial=Frequency.AT_ONCE,
    )

    def clean_address(self) -> str:
        # Imported here, because Apprise takes 14 MB, which processes without chats needn't load.
        from sync.operations import chats

        address = str(self.cleaned_data["address"])
        try:
            chats.service_name(address)
        except chats.AddressError as why:
            raise forms.ValidationError(str(why)) from None
        return address


def _state(receiver: NotificationReceiver, now: datetime) -> dict[str, Any]:
    is_off = receiver.frequency == Frequency.OFF
    if receiver.failed_since:
        state_badge = badge("warn", "error", "Failing")
        next_attempt = humanize.relative_time(max(receiver.due_at, now), now)
        sentence = receiver.problem if is_off else f"{receiver.problem} Next attempt {next_attempt}."
    else:
        words = DAILY if receiver.frequency == Frequency.DAILY else receiver.get_frequency_display()
        state_badge = badge("off", "notifications_off", "Off") if is_off else badge("ok", "notifications_active", words)
        last = receiver.last_sent
        sentence = f"Last message {humanize.relative_time(last, now)}." if last else "No message was sent yet."
    return {"receiver": receiver, "badge": state_badge, "sentence": sentence}


@sensitive_post_parameters("address")
@require_http_methods(["GET", "HEAD", "POST"])
def notifications_page(request: HttpRequest) -> HttpResponse:
    """Show a person's notifications and, for superusers, the chats; on POST run the form's act."""
    user = cast("User", request.user)
    own = NotificationReceiver.objects.filter(user=user).first()
    mail_form = MailForm(user, initial={"frequency": own.frequency} if own else {})
    chat_form = ChatForm(auto_id="chat_%s", label_suffix="")
    if request.method == "POST":
        act = request.POST.get("act", "")
        if act in ("add", "remove") and not user.is_superuser:
            raise PermissionDenied
        if act == "choose":
            mail_form = MailForm(user, request.POST)
            if mail_form.is_valid():
                notifications.choose(user, mail_form.cleaned_data["frequency"])
                return _redirect(request, "Your notifications were saved.")
        elif act == "add":
            chat_form = ChatForm(request.POST, auto_id="chat_%s", label_suffix="")
            if chat_form.is_valid():
                receiver = notifications.add_chat(**chat_form.cleaned_data)
                authors.log_action(user, receiver, "Added as a chat.", flag=ADDITION)
                return _redirect(request, f"“{receiver}” was added. Send a test.")
        elif act == "remove":
            receiver = _chat(request)
            authors.log_action(user, receiver, "Removed.", flag=DELETION)
            receiver.delete()
            return _redirect(request, f"“{receiver}” was removed.")
        elif act == "test":
            return _test(request, user)
        else:
            raise Http404
    now = sync_now()
    goes_to = EMAILS_ARE_FILES if are_emails_files() else f"They go to {user.email}, the address of your account."
    context = {
        **admin.site.each_context(request),
        "title": "Notifications",
        "mail_form": mail_form,
        "about_email": _email_problem(user) or goes_to,
        "own": _state(own, now) if own else None,
    }
    if user.is_superuser:
        chats = NotificationReceiver.objects.filter(user=None).order_by("name", "pk")
        failing = NotificationReceiver.objects.exclude(user=None).exclude(user=user).exclude(failed_since=None)
        context |= {
            "chat_form": chat_form,
            "chats": [_state(receiver, now) for receiver in chats],
            "failing": [_state(receiver, now) for receiver in failing.select_related("user").order_by("pk")],
        }
    status = 400 if mail_form.errors or chat_form.errors else 200
    return TemplateResponse(request, "sync/notifications.html", context, status=status)


def _redirect(request: HttpRequest, sentence: str) -> HttpResponse:
    messages.success(request, sentence)
    return see_other(reverse("npd-notifications"))


def _chat(request: HttpRequest) -> NotificationReceiver:
    number = request.POST.get("chat", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise Http404
    return get_object_or_404(NotificationReceiver, user=None, pk=int(number))


def _test(request: HttpRequest, user: User) -> HttpResponse:
    if "chat" in request.POST:
        if not user.is_superuser:
            raise PermissionDenied
        receiver = _chat(request)
        where = f"sent to “{receiver}”"
    else:
        receiver = NotificationReceiver.objects.get_or_create(user=user)[0]
        where = "written into var/mail" if are_emails_files() else f"sent to {user.email}"
    if problem := notifications.send_test(receiver):
        messages.error(request, f"The test was not sent. {problem}")
        return see_other(reverse("npd-notifications"))
    return _redirect(request, f"The test was {where}.")

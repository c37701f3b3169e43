"""The pages of a person's notifications and API tokens; for superusers also the site's chats and all tokens."""

from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminSelectWidget

from sync import permissions, registry
from sync.admin import admin_base
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.mails import EMAILS_ARE_FILES, NO_EMAIL_SERVER, is_email_configured, writes_emails_to_files
from sync.models import ApiToken, NotificationReceiver
from sync.models.attention import Frequency
from sync.operations import notifications
from sync.records import authors
from sync.words.message import Message

# The notifications.


def _email_problem(user: User) -> str:
    """Return why this person can't get emails; empty if they can."""
    if not is_email_configured():
        return NO_EMAIL_SERVER
    return "" if user.email else "Your account has no email address. An administrator can enter it under Users."


class MailForm(forms.Form):
    frequency = forms.TypedChoiceField(
        label="How often", choices=Frequency.choices, coerce=Frequency, initial=Frequency.OFF
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
    # A chat that gets nothing is removed.
    frequency = forms.TypedChoiceField(
        label="How often", choices=Frequency.choices[1:], coerce=Frequency, initial=Frequency.AT_ONCE
    )

    def clean_address(self) -> str:
        # Imported here, because Apprise takes 14 MB, which processes without chats needn't load.
        from sync.operations import chats

        address = str(self.cleaned_data["address"])
        try:
            chats.service_name(address)
        except chats.AddressError as error:
            raise forms.ValidationError(str(error)) from None
        return address


def _receiver_row(receiver: NotificationReceiver, now: datetime) -> dict[str, Any]:
    is_off = receiver.frequency == Frequency.OFF
    last = receiver.last_sent
    sentence = f"Last message {humanize.relative_time(last, now)}." if last else "No message was sent yet."
    look = ("off", "notifications_off") if is_off else ("ok", "notifications_active")
    state_badge = humanize.badge(*look, receiver.get_frequency_display())
    if receiver.failed_since:
        next_attempt = humanize.relative_time(max(receiver.due_at, now), now)
        sentence = receiver.problem if is_off else f"{receiver.problem} Next attempt {next_attempt}."
        state_badge = humanize.badge("warn", "error", "Failing")
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
                change = Message("setting_of_new", label="How often", after=receiver.get_frequency_display())
                chat = Message("the_related", kind="chat", name=receiver.name)
                authors.log_setting(user, Message("settings_added", about=chat, changes=[change]))
                return _redirect(request, f"“{receiver}” was added. Send a test.")
        elif act == "remove":
            receiver = _chat(request)
            chat = Message("the_related", kind="chat", name=receiver.name)
            authors.log_setting(user, Message("settings_deleted", about=chat))
            receiver.delete()
            return _redirect(request, f"“{receiver}” was removed.")
        elif act == "test":
            return _send_test(request, user)
        else:
            raise Http404
    now = sync_now()
    goes_to = EMAILS_ARE_FILES if writes_emails_to_files() else f"They go to {user.email}, the address of your account."
    context = {
        **admin.site.each_context(request),
        "title": "Notifications",
        "mail_form": mail_form,
        "about_email": _email_problem(user) or goes_to,
        "own": _receiver_row(own, now) if own else None,
    }
    if user.is_superuser:
        chats = NotificationReceiver.objects.filter(user=None).order_by("name", "pk")
        failing = NotificationReceiver.objects.exclude(user=None).exclude(user=user).exclude(failed_since=None)
        context |= {
            "chat_form": chat_form,
            "chats": [_receiver_row(receiver, now) for receiver in chats],
            "failing": [_receiver_row(receiver, now) for receiver in failing.select_related("user").order_by("pk")],
        }
    status = 400 if mail_form.errors or chat_form.errors else 200
    return TemplateResponse(request, "sync/notifications.html", context, status=status)


def _redirect(request: HttpRequest, sentence: str) -> HttpResponse:
    messages.success(request, sentence)
    return redirect("npd-notifications")


def _chat(request: HttpRequest) -> NotificationReceiver:
    number = request.POST.get("chat", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise Http404
    return get_object_or_404(NotificationReceiver, user=None, pk=int(number))


def _send_test(request: HttpRequest, user: User) -> HttpResponse:
    if "chat" in request.POST:
        if not user.is_superuser:
            raise PermissionDenied
        receiver = _chat(request)
        where = f"sent to “{receiver}”"
    else:
        receiver = NotificationReceiver.objects.get_or_create(user=user)[0]
        where = "written into var/mail" if writes_emails_to_files() else f"sent to {user.email}"
    if problem := notifications.send_test(receiver):
        messages.error(request, f"The test was not sent. {problem}")
        return redirect("npd-notifications")
    return _redirect(request, f"The test was {where}.")


# The API tokens.

LIFETIMES = ((30, "30 days"), (90, "90 days"), (365, "A year"))


def owner_name(user: User) -> str:
    """Return a token's owner, who is a person or a program: a program's user can't sign in."""
    name = authors.full_name(user)
    return name if user.is_staff else f"{name} (program)"


def readable_list(user: User) -> str:
    """Return the address of records that this user may read by the API, else that of the schema."""
    for spec in registry.entities():
        if permissions.may_view(user, spec.model._meta.label_lower):
            return reverse(f"{spec.entity_type}-list")
    return reverse("schema")


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Expiry (and, for superusers, owner) of a new token."""

    days = forms.TypedChoiceField(
        label="Ends after", choices=LIFETIMES, coerce=int, initial=365, widget=UnfoldAdminSelectWidget()
    )


@admin.register(ApiToken)
class ApiTokenAdmin(admin_base.ReadOnlyAdmin, admin_base.SettingsAdmin):
    form = TokenForm
    saves_and_continues = False  # the next page shows the token, once
    list_display = ("name", "owner", "begins_with", "created_at", "ends")
    list_display_links = ("begins_with",)
    search_fields = ("name", "token_key", "user__username", "user__first_name", "user__last_name")
    search_help_text = "Name, beginning, owner"
    ordering = ("-created",)

    begins_with = admin_base.plain_column("Begins with", lambda token: f"{token.token_key}…", "token_key")
    owner = admin_base.plain_column("Owner", lambda token: owner_name(token.user), "user__username")
    created_at = admin_base.time_column("created", "Made")
    ends = admin_base.plain_column(
        "Ends", lambda token: date_format(localtime(token.expiry), "j M Y") if token.expiry else humanize.DASH, "expiry"
    )
    empty_title = "No API tokens yet"
    empty_words = "With a token, another program reads and writes records through the API, by the rights of its owner."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens: QuerySet[ApiToken] = super().get_queryset(request).select_related("user")
        return tokens if request.user.is_superuser else tokens.filter(user=cast("User", request.user))

    # Every user may have tokens, which expire or are deleted, but never change.

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or obj.user_id == request.user.pk or request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is not None:
            return list(self.list_display)
        return ["name", "user", "days"] if request.user.is_superuser else ["name", "days"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else list(self.list_display)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk}

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only active users."""
        kwargs |= {"queryset": User.objects.filter(is_active=True).order_by("username")}
        field: Any = super().formfield_for_foreignkey(db_field, request, **kwargs)
        field.label = "Owner"
        field.label_from_instance = owner_name
        field.help_text = (
            "The program may do what the token's owner may, and nothing else. To know later which program has which "
            "token, add a user named after the program, without “May sign in here”."
        )
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create the token; its text goes to `response_add` only."""
        owner = form.cleaned_data.get("user", request.user)
        days = timedelta(days=form.cleaned_data["days"])
        token, text = ApiToken.objects.create(owner, days, name=form.cleaned_data["name"])
        obj.user = owner
        obj.digest = token.digest
        obj.token_key = token.token_key
        obj.text = text

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the text in the response itself, so that no message, cookie or cache keeps it."""
        context: dict[str, Any] = {
            "before": "Copy the token now: it can't be shown again.",
            "text": obj.text,
            "after": "The program sends it with each call, for example:",
            "example": f'curl -H "Authorization: Bearer {obj.text}" {settings.SITE_URL}{readable_list(obj.user)}',
            "further": reverse("docs"),
            "further_label": "What it can call",
            "back": reverse("admin:sync_apitoken_changelist"),
            "back_label": "Back to the API tokens",
        }
        title = f"A token of {owner_name(obj.user)}{f': {obj.name}' if obj.name else ''}"
        answer = admin_base.render_admin_page(self, request, "npd/shown_once.html", title, **context)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """Go back to the list; Django would send users without the change permission to the index."""
        super().response_delete(request, obj_display, obj_id)  # shows the message
        return redirect("admin:sync_apitoken_changelist")

"""Users and groups, in our theme."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.hashers import is_password_usable
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Field, ManyToManyField, Q, QuerySet
from django.forms import ModelChoiceField, ModelMultipleChoiceField
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from rest_framework.authtoken.models import Token, TokenProxy
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UnfoldReadOnlyPasswordHashWidget, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from npd.accounts.invitations import (
    IN_A_FILE,
    ROLES,
    Invitation,
    by_role,
    invite,
    invite_again,
    is_invited,
    role_of,
    role_titles,
)
from npd.accounts.second_factor import end_sessions, remove
from sync.admin.admin_base import PlainWordsMixin, ValidIdsMixin, badge, see_other
from sync.admin.confirmed_action import Question, Report, question_page, run_action
from sync.kernel.humanize import DASH, day_and_time
from sync.kernel.mails import NO_EMAIL_SERVER
from sync.models import ApiToken, FieldMapping, NotificationReceiver
from sync.models.state import PEOPLE_KIND, log_event
from sync.records.authors import full_name, log_action

_END_SESSIONS = (
    "End sessions",
    "They are signed out of every browser and have to sign in again. Their API tokens still work.",
    "Their sessions have ended.",
)
_RESET = (
    "Reset two-factor",
    (
        "They sign in with their password alone until they set it up again, and are signed out of every browser; the "
        "link to the identity provider goes, too. Do "
        "this only if you are sure who is asking."
    ),
    "Two-factor authentication is reset, and their sessions have ended.",
)

_SEVERAL = "Hold down “Control”, or “Command” on a Mac, to select more than one."
_LABELS = {
    "first_name": ("First name", ""),
    "last_name": ("Last name", ""),
    "email": ("Email", "Notifications by email go here."),
    "is_active": ("Active", "Turn this off, instead of deleting the user, when somebody leaves."),
    "is_staff": ("May sign in here", "Without it the user has no pages, as a program that only uses the API."),
    "is_superuser": ("Administrator", "May do everything, whatever the groups say."),
    "groups": ("Roles", "Several add up; other groups are your own."),
    "user_permissions": ("Further permissions", _SEVERAL),
    "permissions": ("Permissions", _SEVERAL),
}

_RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")

admin.site.unregister(User)


admin.site.unregister(Group)


class PermissionField(ModelMultipleChoiceField):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Permissions by what they are about: "Conflicts: Can view conflict"."""

    def label_from_instance(self, permission: Any) -> str:
        """Return the label of one; what Django wrote itself says the model's name of today."""
        model = permission.content_type.model_class()
        if model is None:
            return str(permission)
        act, _sign, name = permission.codename.partition("_")
        is_djangos = name == model._meta.model_name and act in model._meta.default_permissions
        words = f"Can {act} {model._meta.verbose_name}" if is_djangos else permission.name
        return f"{capfirst(model._meta.verbose_name_plural)}: {words}"


class GroupField(ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Groups, each with what its members may do."""

    def label_from_instance(self, group: Any) -> Any:
        role = role_of(group.name)
        return format_html("<strong>{}</strong>: {}", role.title, role.about) if role else group.name


class PasswordState(UnfoldReadOnlyPasswordHashWidget):
    """Whether there is a password; how it is hashed says nothing to who reads this page."""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        label = "A password is set." if value and is_password_usable(value) else "No password is set."
        return {**super().get_context(name, value, attrs), "summary": [{"label": label}]}


class UserForm(UserChangeForm):
    """A user, without the hash of the password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "password" in self.fields:
            self.fields["password"].widget = PasswordState()
            change = SafeString('<a class="npd-link" href="../password/">Set another password</a>')
            self.fields["password"].help_text = change


INVITE = "Invite a colleague"


class RoleField(ModelChoiceField):  # type: ignore[type-arg]
    """The groups that are a role, each with what its members may do in a sentence."""

    def label_from_instance(self, group: Any) -> Any:
        role = role_of(group.name)
        return format_html("<span><strong>{}</strong>: {}</span>", role.title, role.about) if role else str(group)


class InvitationForm(forms.Form):
    """Who is invited, and as what."""

    email = forms.EmailField(label="Email", max_length=150, help_text="It becomes their username.")
    first_name = forms.CharField(label="First name", max_length=150, required=False)
    last_name = forms.CharField(label="Last name", max_length=150, required=False)
    role = RoleField(
        Group.objects.none(),
        label="Role",
        empty_label=None,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what they may do."},
        help_text=(
            "You can change it later on their page, and add further permissions there. "
            "An administrator is made there, too."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered: Any = self.fields["role"]
        offered.queryset = by_role(Group.objects.filter(name__in=[role.group for role in ROLES]))


class AdministratorsMixin:
    """Changed by administrators alone, whatever permissions somebody has: by these pages one becomes one of them."""

    def has_administrator_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_administrator_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_administrator_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_administrator_permission(request)


class PlainFields:
    """Fields under the words of these pages; of permissions those of pages that there are, and those given already."""

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None and db_field.name in _LABELS:
            field.label, field.help_text = _LABELS[db_field.name]
        return field

    def formfield_for_manytomany(self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """Return the field; Django's list names some fifty tables that no page is about."""
        if db_field.related_model is Permission:
            pages = ContentType.objects.get_for_models(*admin.site._registry, FieldMapping).values()
            given = Q(group__isnull=False) | Q(user__isnull=False)
            offered = Permission.objects.filter(Q(content_type__in=pages) | given).distinct()
            kwargs["queryset"] = offered.select_related("content_type").order_by(
                "content_type__app_label", "content_type__model", "codename"
            )
            kwargs["form_class"] = PermissionField
        if db_field.related_model is Group:
            kwargs |= {
                "queryset": by_role(Group.objects.all()),
                "form_class": GroupField,
                "widget": UnfoldAdminCheckboxSelectMultipleWidget(),
            }
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


@admin.register(User)
class UserAdmin(AdministratorsMixin, PlainWordsMixin, PlainFields, ValidIdsMixin, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions_list = ("invite_colleague",)
    add_is_main = False  # a colleague is invited; who is added is most often a program
    actions_detail = ("invite_once_more", "end_sessions", "reset_two_factor")
    list_display = ("sign_in_name", "address", "full_name", "roles", "may_sign_in")
    search_help_text = "A name, or an email address"
    # Django's two-box chooser has neither room on a phone nor names for a screen reader.
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("What the user may do", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Further permissions", {"fields": ("user_permissions",), "classes": ("collapse",)}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "email", "password1", "password2")}),
        ("What the user may do", {"fields": ("is_staff", "groups")}),
    )

    @admin.display(description="Username", ordering="username")
    def sign_in_name(self, user: User) -> str:
        return user.username

    @admin.display(description="Email", ordering="email")
    def address(self, user: User) -> str:
        return user.email or DASH

    @admin.display(description="Name", ordering="first_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or DASH

    @admin.display(description="Role")
    def roles(self, user: User) -> str:
        """What the invitation calls it; of an administrator, that."""
        return "Administrator" if user.is_superuser else role_titles(user) or DASH

    @admin.display(description="May sign in here")
    def may_sign_in(self, user: User) -> SafeString:
        """Whether these pages are for them: of an account of a program, they are not."""
        if is_invited(user):
            return badge("wait", "forward_to_inbox", "Invited, not signed in yet")
        if user.is_active and user.is_staff:
            return badge("ok", "check_circle", "Yes")
        if user.is_active:
            return badge("off", "smart_toy", "Program")
        return badge("off", "block", "No")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whom an administrator adds here is a colleague, who signs in; a program is the exception."""
        return {"is_staff": "on"} | super().get_changeform_initial_data(request)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Without the button that saves and goes on to a new one: people come one by one."""
        more = {"show_save_and_add_another": False} | (extra_context or {})
        return super().changeform_view(request, object_id, form_url, more)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Invite a colleague", url_path="invite", permissions=["administrator"], icon="forward_to_inbox",
        variant=ActionVariant.PRIMARY,
    )  # fmt: skip
    def invite_colleague(self, request: HttpRequest) -> HttpResponse:
        """Ask whom, and as what; make the account and the link."""
        form = InvitationForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            chosen = form.cleaned_data
            try:
                by: Any = request.user
                made = invite(
                    by, chosen["email"], chosen["role"], first_name=chosen["first_name"], last_name=chosen["last_name"]
                )
            except ValidationError as refused:
                form.add_error("email", refused)
            else:
                return self._invited(request, made)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": INVITE,
            "page_name": INVITE,
            "form": form,
            "button": "Invite",
            "back_url": reverse("admin:auth_user_changelist"),
        }
        return TemplateResponse(request, "sync/token_form.html", context)

    def has_invite_again_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether there is somebody to be invited again: whoever has set no password yet."""
        user = self.get_object(request, str(object_id)) if object_id else None
        return user is not None and is_invited(user) and self.has_administrator_permission(request)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Invite again…", url_path="invite-again", permissions=["invite_again"]
    )
    def invite_once_more(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make another link, after a question; the one before ends."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        by: Any = request.user
        back = reverse("admin:auth_user_change", args=[user.pk])
        if request.method == "POST":
            return self._invited(request, invite_again(by, user))
        effects = ["They get another link. The one that they have does not work any more."]
        question = Question(f"Invite again: {user}", effects, "Invite again")
        return question_page(self, request, question, back)

    def _invited(self, request: HttpRequest, made: Invitation) -> HttpResponse:
        """Say that the email is on its way; of one that is not, why, and the link on this answer alone."""
        until = day_and_time(made.until)
        if made.link:
            context = {**self.admin_site.each_context(request), "opts": self.opts, "title": INVITE,
                       "page_name": INVITE, "made": made, "until": until,
                       "has_no_server": made.problem in (NO_EMAIL_SERVER, IN_A_FILE),
                       "is_file": made.problem == IN_A_FILE}  # fmt: skip
            answer = TemplateResponse(request, "npd/invitation_link.html", context)
            add_never_cache_headers(answer)
            return answer
        name, role = made.user.get_full_name() or made.user, self.roles(made.user)
        said = f"{name} is invited as “{role}”: an email went to {made.user.email}. Its link works once, until {until}."
        own, further = reverse("admin:auth_user_change", args=[made.user.pk]), "Change the role, or invite again"
        text = format_html('{} <a class="npd-link" href="{}">{}</a>', said, own, further)
        self.message_user(request, text, messages.SUCCESS)
        return see_other(reverse("admin:auth_user_changelist"))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Tell Activity, too, whom somebody added, with what they may do."""
        self._log_person(request, f"Added {full_name(obj)}: {self._rights(obj)}.")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Tell Activity, too, where what somebody may do has changed."""
        names = [name for one in message if isinstance(one, dict) for name in one.get("changed", {}).get("fields", ())]
        if {_LABELS[name][0] for name in _RIGHTS}.intersection(map(str, names)):
            self._log_person(request, f"Changed what {full_name(obj)} may do: {self._rights(obj)}.")
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Tell Activity, too, whom somebody deleted."""
        for one in queryset:
            self._log_person(request, f"Deleted the account of {full_name(one)}.")
        return super().log_deletions(request, queryset)

    def _rights(self, user: User) -> str:
        if not user.is_active:
            return "may not sign in"
        return role_titles(user) or ("administrator" if user.is_superuser else "no role")

    def _log_person(self, request: HttpRequest, sentence: str) -> None:
        log_event(PEOPLE_KIND, sentence, by=cast("User", request.user).get_username())

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        found: QuerySet[User] = super().get_queryset(request)
        return found.order_by("username").prefetch_related("groups")

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - the address's
        """Set somebody's password; one's own on the page that asks for the old one."""
        if self.get_object(request, unquote(id)) == request.user:  # “01” is 1, too
            return see_other(reverse("admin:password_change"))
        return super().user_change_password(request, id, form_url)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="End sessions…", url_path="end-sessions", permissions=["administrator"]
    )
    def end_sessions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Sign somebody out everywhere, after a question."""
        own = reverse("usersessions_list")
        # Done in any case: that somebody was signed in nowhere is no failure.
        return self._ask_about_account(request, object_id, _END_SESSIONS, lambda user: end_sessions(user.pk) >= 0, own)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Reset two-factor…", url_path="reset-two-factor", permissions=["administrator"]
    )
    def reset_two_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take somebody's second factor away, after a question."""
        by: Any = request.user
        own = reverse("mfa_index")
        return self._ask_about_account(request, object_id, _RESET, lambda user: remove(user, by=by), own)

    def _ask_about_account(
        self, request: HttpRequest, object_id: str, words: tuple[Any, Any, Any], act: Callable[[User], bool], own: str
    ) -> HttpResponse:
        """Ask, then do it; of oneself lead to `own`, which asks for what a stolen session doesn't know."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        if user == request.user:
            return see_other(own)
        title, effect, done = words

        def run() -> Report:
            if not act(user):
                return Report(problems=[f"“{user}” has no two-factor authentication."])
            log_action(request.user, user, done)
            return Report(done)

        def question() -> Question:
            return Question(f"{title} {user}", [effect], title)

        back = reverse("admin:auth_user_change", args=[user.pk])
        return run_action(
            self, request, run, back_url=back, question=question, allowed=self.has_administrator_permission(request)
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What goes with a user, without the keys of tokens: a key is a token's whole text."""
        listed, counts, perms_needed, protected = super().get_deleted_objects(objs, request)
        keys = Token.objects.filter(user__in=list(objs)).values_list("key", flat=True)
        # No page deletes these; whoever deletes a user ends all that is the user's own.
        perms_needed -= {ApiToken._meta.verbose_name, NotificationReceiver._meta.verbose_name}
        return mask_keys(listed, list(keys)), counts, perms_needed, protected


def mask_keys(texts: Any, keys: Collection[str]) -> Any:
    """Return a nested list of texts with dots in place of these keys."""
    if isinstance(texts, list):
        return [mask_keys(one, keys) for one in texts]
    return "Token: •••" if any(key in str(texts) for key in keys) else texts


@admin.register(Group)
class GroupAdmin(AdministratorsMixin, PlainWordsMixin, PlainFields, ValidIdsMixin, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # a mixin before it
    list_display = ("group_name", "about")
    search_help_text = "A group's name"
    filter_horizontal = ()
    ordering = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        """Return the roles first, in the order of an invitation."""
        return by_role(super().get_queryset(request))

    @admin.display(description="Name", ordering="name")
    def group_name(self, group: Group) -> str:
        role = role_of(group.name)
        return str(role.title if role else group.name)

    @admin.display(description="What its members may do", empty_value="–")
    def about(self, group: Group) -> Any:
        role = role_of(group.name)
        return role and format_html('<span class="npd-text">{}</span>', role.about)


# Its page would show in clear text what a script has made with DRF's model and nobody has used yet.
admin.site.unregister(TokenProxy)
# Everybody has their own; an administrator takes them away on a user's page, and nobody reads them.
admin.site.unregister([EmailAddress, SocialAccount, SocialApp, SocialToken, Authenticator, UserSession])

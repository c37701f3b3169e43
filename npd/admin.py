"""NPD's admin pages: contacts and organizations, and for administrators users and groups.

The last administrator can't be removed.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, ClassVar

from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from django.utils.text import slugify
from unfold import forms as unfold_forms
from unfold.decorators import action
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from npd import personal_data, sign_in
from npd.groups import meaning_of, permission_text
from npd.models import Contact, Organization
from sync.admin import admin_base, confirmed_action
from sync.admin.record_pages import SYNC_FILTERS, SyncedModelAdmin
from sync.kernel import humanize
from sync.kernel.acts import NotPossible
from sync.models import ApiToken
from sync.records import authors
from sync.words.message import Message


@admin.register(Contact)
class ContactAdmin(SyncedModelAdmin):
    list_display = ("name", "email", "phone", "organization", "role_title", "sync", "item", "updated")
    search_fields = ("name", "email", "phone", "role_title", "organization__name", "monday_id")
    actions_detail = ("personal_data",)

    @cached_property
    def list_filter(self) -> list[Any]:
        """The filters of every list of records, and those for contacts whom nobody can write to or call."""
        missing = [(name, admin.EmptyFieldListFilter) for name in ("email", "phone")]
        return [*super().list_filter, *missing]

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Personal data", icon="person_remove", url_path="personal-data", permissions=["erase"]
    )
    def personal_data(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Export a person's data, or erase the person if the name was typed."""
        contact = self.get_object(request, object_id)
        if contact is None:
            raise Http404("There is no such contact. Look for the person among the contacts.")
        person = personal_data.Person(Contact.entity_type(), contact.pk)
        act = request.POST.get("act")
        if act == "export":
            authors.log_model_action(
                request.user, Contact, "Personal data exported.", name=str(contact), key=contact.pk
            )
            response = JsonResponse(
                personal_data.export(person), json_dumps_params={"indent": 2, "ensure_ascii": False}
            )
            file_name = f"personal-data-{slugify(str(contact), allow_unicode=True)}.json"
            response.headers["Content-Disposition"] = content_disposition_header(True, file_name) or ""
            response.headers["Cache-Control"] = "no-store"
            return response
        if act == "erase" and request.POST.get("name", "").split() != person.name.split():
            messages.warning(request, "Nothing was erased: the name that you typed is another.")
        elif act == "erase":
            where = "here"
            if person.items:
                where = "here and on Monday" if "delete_items" in request.POST else "here. Its item stays on Monday"
            try:
                number = personal_data.erase(person, delete_items="delete_items" in request.POST)
            except NotPossible as why:
                messages.warning(request, str(why))
                return redirect(request.path)
            authors.log_model_action(
                request.user, Contact, f"A person was erased: {number:,} rows.", name="[erased]", key=person.id
            )
            messages.success(request, f"Erased {where}. This can't be undone.")
            return redirect("admin:npd_contact_changelist")
        return admin_base.render_admin_page(
            self, request, "npd/personal_data.html", f"Personal data of {contact}", person=person
        )

    def has_erase_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        # The export shows other people's acts, and an erasure can't be undone.
        return bool(getattr(request.user, "is_superuser", False))


@admin.register(Organization)
class OrganizationAdmin(SyncedModelAdmin):
    list_display = ("name", "address_city", "address_country", "sync", "item", "updated")
    list_filter: ClassVar[list[Any]] = list(SYNC_FILTERS)
    search_fields = (
        *("name", "aliases", "address_street", "address_city", "address_state", "address_zip", "address_country"),
        "monday_id",
    )
    search_help_text = "Name, other names, address …"


LAST_ADMINISTRATOR = "This is the last administrator who may sign in. Make somebody else one first."
IN_AUDIT_LOG = (
    "The audit log says what {} did, and would lose that. Turn “Active” off on the user's page instead: then the "
    "account can't sign in, and its API tokens don't work."
)

admin.site.unregister([User, Group])
# People manage these on their own account pages. An administrator can remove them on the user's page, not view them.
ALLAUTH_APPS = ("account", "mfa", "socialaccount", "usersessions")
admin.site.unregister([model for model in admin.site._registry if model._meta.app_label in ALLAUTH_APPS])


def includes_every_administrator(keys: Iterable[Any]) -> bool:
    """Return whether every active administrator who can sign in is among these users.

    Locks those rows until the caller's transaction ends, so that two administrators can't remove each other.
    """
    with transaction.atomic():
        administrators = User.objects.filter(sign_in.can_sign_in(), is_active=True, is_staff=True, is_superuser=True)
        locked = set(administrators.select_for_update().order_by("pk").values_list("pk", flat=True))
    return bool(locked) and locked.issubset(keys)


class UniqueEmailMixin:
    """Refuses an email address that another user has, because the identity provider identifies people by it."""

    def clean_email(self) -> str:
        form: Any = self
        email: str = form.cleaned_data["email"]
        if email and User.objects.filter(email__iexact=email).exclude(pk=form.instance.pk).exists():
            raise ValidationError("Another user has this address.")
        return email


class BoxesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A box for each row of a query."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def __init__(self, rows: models.QuerySet[Any], label: Callable[[Any], str], **kwargs: Any) -> None:
        super().__init__(rows, required=False, **kwargs)
        self.label_of = label

    def label_from_instance(self, row: Any) -> str:
        return self.label_of(row)


def groups_field() -> BoxesField:
    """Return boxes for groups, each with what its members may do."""
    groups = Group.objects.prefetch_related("permissions__content_type").order_by("name")
    return BoxesField(groups, lambda group: format_html("<b>{}</b> {}", group.name, meaning_of(group)))


def offered_permissions() -> models.Q:
    """Return the condition for a box: permissions of the site's pages, and of groups, as a save removes all others."""
    # No permission opens the pages of users and groups.
    names = [model._meta.model_name for model in admin.site._registry if model not in (User, Group)]
    for page in admin.site._registry.values():
        names += [inline.model._meta.model_name for inline in page.inlines]
    return models.Q(content_type__model__in=names) | models.Q(group__isnull=False)


class UserFormMeta:
    labels: ClassVar[dict[str, str]] = {"is_staff": "May sign in here", "is_superuser": "Administrator"}
    help_texts: ClassVar[dict[str, str]] = {
        "username": "For signing in: letters, digits and @ . + - _",
        "email": "For the link that sets a password, for notifications, and to sign in by the identity provider. "
        "Another address ends the user's sessions and their link to the provider.",
        "is_active": "Without it, the account can't sign in, its sessions end and its API tokens don't work. Turn it "
        "off when somebody "
        "leaves; the activity keeps their name.",
        "is_staff": "For people. A program that only uses the API needs no sign-in.",
        "is_superuser": "May do everything: boards, settings, users, and other people's API tokens.",
    }


class NewUserForm(UniqueEmailMixin, unfold_forms.UserCreationForm):
    """Adds a user without a password; they set it by a link."""

    groups = groups_field()
    Meta = UserFormMeta

    def clean_usable_password(self) -> str:
        return "false"


class UserForm(UniqueEmailMixin, unfold_forms.UserChangeForm):
    groups = groups_field()
    Meta = UserFormMeta

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        administers = cleaned["is_active"] and cleaned["is_staff"] and cleaned["is_superuser"]
        if not administers and includes_every_administrator({self.instance.pk}):
            raise ValidationError(LAST_ADMINISTRATOR)
        return cleaned


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    permissions = BoxesField(
        Permission.objects.select_related("content_type").order_by("content_type__model", "codename"),
        permission_text,
        limit_choices_to=offered_permissions,
    )


class AdministratorsMixin:
    """Lets only administrators in, whatever permissions others have, because these pages make administrators."""

    # Two more buttons would take a third of a phone.
    saves_and_continues = False

    def has_administrator_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False))

    has_module_permission = has_administrator_permission
    has_add_permission = has_administrator_permission
    has_view_permission = has_administrator_permission
    has_change_permission = has_administrator_permission
    has_delete_permission = has_administrator_permission


@admin.register(User)
class UserAdmin(AdministratorsMixin, DjangoUserAdmin, admin_base.SettingsAdmin):  # type: ignore[type-arg, misc]
    form = UserForm
    add_form = NewUserForm
    add_form_template = None  # unfold's says that more can be edited later
    change_password_form = unfold_forms.AdminPasswordChangeForm
    actions_detail = ("send_link", "remove_second_factor", "remove_provider_link")
    list_display = ("username", "name", "email_address", "groups_text", "last_sign_in", "is_active")
    list_filter = ("is_superuser", "is_active", "groups")
    # As text, because the filter of groups puts it into an attribute.
    empty_value_display = humanize.DASH
    # Django's two-box chooser has neither room on a phone nor names for a screen reader.
    filter_horizontal = ()
    readonly_fields = ("sign_in",)
    fieldsets = (
        ("Person", {"fields": ("username", ("first_name", "last_name"), "email")}),
        ("Sign-in", {"fields": ("sign_in", "is_active", "is_staff")}),
        ("What the user may do", {"fields": ("is_superuser", "groups")}),
    )
    add_fieldsets = (
        ("Person", {"fields": ("username", ("first_name", "last_name"), "email")}),
        ("What the user may do", {"fields": ("is_staff", "is_superuser", "groups")}),
    )
    last_sign_in = admin_base.time_column("last_login", "Last sign-in")
    name = admin_base.plain_column("Name", lambda user: user.get_full_name() or humanize.DASH, "first_name")
    email_address = admin_base.plain_column("Email", lambda user: user.email or humanize.DASH, "email")

    @admin.display(description="May do what")
    def groups_text(self, user: User) -> str:
        groups = [group.name for group in user.groups.all()]
        return ", ".join(["Administrator"] * user.is_superuser + groups) or humanize.DASH

    @admin.display(description="Account")
    def sign_in(self, user: Any) -> SafeString:
        """Return how the user signs in, with a link that sets a password."""
        password = "A password is set" if user.has_usable_password() else "No password is set yet"
        factor = "with" if is_mfa_enabled(user) else "without"
        since = admin_base.time_tag(user.last_login, user.page_now) if user.last_login else "never"
        link = admin_base.link_to(reverse("admin:auth_user_password_change", args=[user.pk]), "Set a new password")
        linked = [sign_in.address_at_provider(account) for account in user.socialaccount_set.order_by("pk")]
        provider = f" Signs in by the identity provider as {', '.join(linked)}." if linked else ""
        return format_html("{}, {} a second factor.{} Last sign-in: {}. {}", password, factor, provider, since, link)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[User]:
        users: models.QuerySet[User] = super().get_queryset(request)
        return users.prefetch_related("groups")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Tick “May sign in”, because most new users are people, not programs."""
        return {"is_staff": "on"} | super().get_changeform_initial_data(request)

    def response_add(self, request: HttpRequest, obj: User, *args: Any, **kwargs: Any) -> HttpResponse:
        """Continue to the page that sends a new colleague the link to set a password."""
        if not obj.is_staff or "_save" not in request.POST:
            return super().response_add(request, obj, *args, **kwargs)
        messages.success(request, f"{authors.full_name(obj)} is added.")
        if not obj.is_superuser and not request.POST.getlist("groups"):
            messages.warning(request, "Without a group, they may do nothing yet. Choose one on the user's page.")
        return redirect("admin:auth_user_send_link", obj.pk)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save, and say what another address has ended, and what it hasn't."""
        super().save_model(request, obj, form, change)
        if not change or not sign_in.is_other_address(form.initial["email"], obj.email):
            return
        sentence = "The address is another, so their sessions and their link to the identity provider have ended."
        if number := ApiToken.objects.filter(user=obj).count():
            tokens = humanize.count_with_noun(number, "API token still works", "API tokens still work")
            sentence += f" {tokens}: delete those that belong to somebody else."
        messages.warning(request, sentence)

    @method_decorator(transaction.atomic)
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Run list actions in one transaction, so that the lock of `get_deleted_objects` lasts until the deletion."""
        return super().changelist_view(request, extra_context)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what is deleted with these users.

        The last administrator, and users of the audit log, are reported as protected, as Django does for rows that
        others depend on.
        """
        deleted, counts, perms_needed, protected = super().get_deleted_objects(objs, request)
        reasons = [IN_AUDIT_LOG.format(authors.full_name(user)) for user in objs if user.logentry_set.exists()]
        if includes_every_administrator({user.pk for user in objs}):
            reasons = [LAST_ADMINISTRATOR]
        return deleted, counts, set() if reasons else perms_needed, [*protected, *reasons]

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - Django's
        """Set another user's password. Your own password has a page that asks for the old one."""
        if self.get_object(request, unquote(id)) == request.user:  # “01” is 1, too
            return redirect("admin:password_change")
        return super().user_change_password(request, id, form_url)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Send a link to set a password", url_path="send-link", permissions=["administrator"]
    )
    def send_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Email somebody a link to set a password, or show it once if no email can be sent."""
        user = self.user_or_404(request, object_id)
        back = reverse("admin:auth_user_change", args=[user.pk])
        if user == request.user:
            return redirect("admin:password_change")
        if not user.is_active:
            messages.warning(request, f"“{user}” is not active, so there is nothing to sign in to.")
            return redirect(back)
        if request.method != "POST":
            effects = [f"Whoever has the link sets the password. It works once, within {sign_in.LINK_LIFETIME}."]
            question = confirmed_action.Question(f"Send {user} a link to set a password?", effects, "Send the link")
            return confirmed_action.question_page(self, request, question, back)
        authors.log_setting(request.user, Message("password_link_made", about=authors.setting_name(user)))
        link = sign_in.password_link(user)
        problem = sign_in.mail_password_link(user, link)
        if not problem:
            messages.success(request, f"The link is on its way to {user.email}.")
            return redirect(back)
        response = admin_base.render_admin_page(
            self,
            request,
            "npd/shown_once.html",
            f"A link for {user}",
            problem=problem,
            before="Give them this link yourself, in a message that nobody else reads. It can't be shown again, and "
            f"works once, within {sign_in.LINK_LIFETIME}.",
            text=link,
            back=back,
            back_label="Back to the user",
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def has_second_factor_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer the act only where the user has a second factor."""
        user = self.get_object(request, object_id) if self.has_administrator_permission(request) else None
        return user is not None and is_mfa_enabled(user)

    @action(  # type: ignore[untyped-decorator]
        description="Remove second factor", url_path="remove-second-factor", permissions=["second_factor"]
    )
    def remove_second_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Remove another user's codes and passkeys, after a question. Your own have a page that asks for a code."""
        user = self.user_or_404(request, object_id)
        if user == request.user:
            return redirect("mfa_index")

        def run() -> str:
            sign_in.remove_second_factor(user, by=request.user)
            return "The second factor is removed, and their sessions have ended."

        effects = [
            "Their authenticator app, passkeys, recovery codes and link to the identity provider are deleted.",
            "They are signed out everywhere, and sign in with their password alone.",
            "Do this only if you are sure who is asking.",
        ]
        question = confirmed_action.Question(
            f"Remove the second factor of {user}?", effects, "Remove second factor", deletes=True
        )
        back = reverse("admin:auth_user_change", args=[user.pk])
        return confirmed_action.run_action(self, request, run, back, question=lambda: question)

    def has_provider_link_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Offer the act only where the user is linked to the identity provider."""
        user = self.get_object(request, object_id) if self.has_administrator_permission(request) else None
        return user is not None and user.socialaccount_set.exists()

    @action(  # type: ignore[untyped-decorator]
        description="Remove link to the provider", url_path="remove-provider-link", permissions=["provider_link"]
    )
    def remove_provider_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Remove a user's link to the identity provider, after a question."""
        user = self.user_or_404(request, object_id)

        def run() -> str:
            sign_in.remove_provider_link(user, by=request.user)
            return "The link to the identity provider is removed, and their sessions have ended."

        effects = [
            "They are signed out everywhere.",
            f"Whoever has the address {user.email or 'of this user'} there is linked at the next sign-in.",
        ]
        question = confirmed_action.Question(
            f"Remove {user}'s link to the identity provider?", effects, "Remove link", deletes=True
        )
        back = reverse("admin:auth_user_change", args=[user.pk])
        return confirmed_action.run_action(self, request, run, back, question=lambda: question)

    def user_or_404(self, request: HttpRequest, object_id: str) -> User:
        user: User | None = self.get_object(request, object_id)
        if user is None:
            raise Http404
        return user


@admin.register(Group)
class GroupAdmin(AdministratorsMixin, DjangoGroupAdmin, admin_base.SettingsAdmin):  # type: ignore[misc]
    form = GroupForm
    list_display = ("name", "meaning")
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Group]:
        groups: models.QuerySet[Group] = super().get_queryset(request)
        return groups.prefetch_related("permissions__content_type")

    @admin.display(description="What its members may do")
    def meaning(self, group: Group) -> SafeString:
        text = meaning_of(group)
        return format_html('<span class="npd-text">{}</span>', text[0].upper() + text[1:])

"""People who sign in to the admin or call the API, with only the rights that a test gives them."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from rest_framework.test import APIClient

from sync.models import SyncedModel
from sync.records.item_links import request_unlink


def staff_who_may(*codenames: str, name: str = "clerk") -> User:
    user = User.objects.create_user(name, f"{name}@example.test", "long-enough-1", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def session_cookie(user: User, url: str) -> Any:
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": signed_in(user).cookies[name].value, "url": url}


def api_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def unlink(record: SyncedModel) -> None:
    """Request as Pat that the next pass unlinks the record."""
    request_unlink(record.entity_type(), [record.pk], "pat")


# Groups that an administrator may make: one that only looks, and one that also operates the sync.
OWN_GROUPS = {
    "view": [
        "view_contact", "view_organization", "view_boardlink", "view_activityline", "view_fieldmapping",
        "view_approvalrequest", "view_mondayaccount", "view_ignoreditem", "view_syncmetadata",
        "view_syncqueue", "view_tombstone", "view_unmatcheditem", "view_syncconflict", "export_contact",
        "export_organization",
    ],
    "operate": [
        "retry_syncqueue", "cancel_syncqueue", "discard_syncqueue", "pause_syncqueue", "change_approvalrequest",
        "delete_ignoreditem", "change_unmatcheditem", "change_boardlink", "change_fieldmapping",
    ],
}  # fmt: skip


def own_group(name: str) -> Group:
    group = Group.objects.get_or_create(name=name)[0]
    rights = OWN_GROUPS["view"] + OWN_GROUPS[name]
    group.permissions.set(Permission.objects.filter(codename__in=rights))
    return group

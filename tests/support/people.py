"""Somebody who signs in to the admin, or whose program calls the API, and may do no more than is said."""

from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from sync.models import SyncedModel
from sync.records.item_links import request_unlink_many


def staff_who_may(*codenames: str, name: str = "clerk") -> User:
    """With these rights and no others."""
    user = User.objects.create_user(name, f"{name}@example.test", "long-enough-1", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def api_of(user: User) -> APIClient:
    """This person's program."""
    client = APIClient()
    client.force_authenticate(user)
    return client


def unlink(record: SyncedModel) -> None:
    """Pat unlinks the record from its item, by its next pass."""
    request_unlink_many(record.entity_type(), [record.pk], "pat")

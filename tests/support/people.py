"""Somebody who signs in to the admin, or whose program calls the API, and may do no more than is said."""

from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient


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

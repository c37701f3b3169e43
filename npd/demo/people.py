"""Who may sign in to the demo: an administrator, and the sandbox's board page by its API token."""

from __future__ import annotations

import os

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from rest_framework.authtoken.models import Token

ADMIN = "admin"
PAGE = "monday-sandbox"
# Why an item that no record has yet still waits; nothing else is shown there.
PAGE_MAY_VIEW = ("syncqueue",)


def make_admin() -> bool:
    """Make the administrator with the password in ADMIN_PASSWORD, unless somebody administers already."""
    users = get_user_model().objects
    password = os.environ.get("ADMIN_PASSWORD", "")
    if not password or users.filter(is_superuser=True).exists():
        return False
    users.create_superuser(ADMIN, "admin@example.com", password)
    return True


def make_page_user() -> None:
    """Make the board page's user with the token in NPD_TOKEN; it may look and not change."""
    key = os.environ.get("NPD_TOKEN", "")
    if not key:
        return
    user, made = get_user_model().objects.get_or_create(username=PAGE)
    if made:
        user.set_unusable_password()
        user.save()
    user.user_permissions.set(
        Permission.objects.filter(codename__in=[f"view_{name}" for name in PAGE_MAY_VIEW])
    )
    if not Token.objects.filter(user=user, key=key).exists():
        Token.objects.filter(user=user).delete()
        Token.objects.create(user=user, key=key)

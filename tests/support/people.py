"""Somebody who signs in to the admin and may do no more than is said."""

from django.contrib.auth.models import Permission, User


def staff_who_may(*codenames: str, name: str = "clerk") -> User:
    """With these rights and no others."""
    user = User.objects.create_user(name, f"{name}@example.test", "long-enough-1", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user

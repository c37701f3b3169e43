"""What the database needs before the first request, in one process: the migrations and the administrator."""

import os

import django


def main() -> None:
    """Migrate, and make the user `admin` with the password in ADMIN_PASSWORD unless there is one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    users = get_user_model().objects
    if not users.filter(username="admin").exists():
        users.create_superuser("admin", "admin@example.com", os.environ["ADMIN_PASSWORD"])


if __name__ == "__main__":
    main()

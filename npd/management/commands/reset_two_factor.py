"""manage.py reset_two_factor NAME: for somebody who has lost both the app and the recovery codes."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from npd.sign_in import remove_second_factor


class Command(BaseCommand):
    help = (
        "Takes somebody's two-factor authentication away and ends their sessions: they sign in by password, and can "
        "set it up again. For a sole administrator who has lost the app and the recovery codes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user's name")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"There is no user “{options['name']}”.")
        if not remove_second_factor(user, by="manage.py reset_two_factor"):
            raise CommandError(f"“{user}” has no two-factor authentication; their sessions have ended.")
        self.stdout.write(f"“{user}” signs in by password alone now.")

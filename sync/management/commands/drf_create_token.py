"""manage.py drf_create_token: make an API token for a user; named like DRF's own command."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.models import ApiToken


class Command(BaseCommand):
    help = "Makes an API token for a user and prints it. It is stored as a hash and can't be printed again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="the program that uses it, as the list of tokens shows it")
        parser.add_argument("--days", type=int, default=365, help="until it ends (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make and print the token; exit 1 if there is no such user."""
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user “{options['username']}”. Make one with “manage.py createsuperuser”.")
        if options["days"] < 1:
            raise CommandError("--days must be at least 1.")
        _token, text = ApiToken.objects.create(user, timedelta(days=options["days"]), name=options["name"][:100])
        self.stdout.write(f"Generated token {text} for user {user.username}")

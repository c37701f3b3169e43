"""manage.py drf_create_token: an API token for a user, under the name by which DRF's users know the command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sync.choices import TokenScope
from sync.clock import sync_now
from sync.models import ApiToken
from sync.models.api_clients import ALL_SCOPES

NAME = "drf_create_token"


class Command(BaseCommand):
    help = "Makes an API token for a user and prints it. It is stored as a hash and can't be printed again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("-r", "--reset", action="store_true", help="revoke those that this command made before")
        parser.add_argument("--name", default=NAME, help="what uses it, as its list says (default: %(default)s)")
        parser.add_argument(
            "--scopes", nargs="+", choices=TokenScope.values, default=ALL_SCOPES, help="what for (default: all)"
        )
        parser.add_argument("--days", type=int, help="until it expires (default: never)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it; exit 1 where there is no such user."""
        users = get_user_model()
        try:
            user = users._default_manager.get_by_natural_key(options["username"])
        except users.DoesNotExist as unknown:
            raise CommandError(
                f"There is no user “{options['username']}”. Make one by “manage.py createsuperuser”."
            ) from unknown
        days = options["days"]
        if days is not None and days < 1:
            raise CommandError("--days is 1 at least.")
        if options["reset"]:
            for token in ApiToken.objects.filter(user=user, name=options["name"], revoked_at=None):
                token.revoke()
        expires_at = None if days is None else sync_now() + timedelta(days=days)
        _token, text = ApiToken.objects.issue(user, options["name"], scopes=options["scopes"], expires_at=expires_at)
        self.stdout.write(f"Generated token {text} for user {options['username']}")

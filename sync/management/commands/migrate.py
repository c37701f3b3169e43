"""Django's command, which must compare models with migrations as `makemigrations` does."""

from __future__ import annotations

from django.core.management.commands import migrate

from sync.management.commands.makemigrations import Detector


class Command(migrate.Command):
    autodetector = Detector

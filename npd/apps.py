"""Registers NPD's synced models, and makes the groups of permissions."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class NpdConfig(AppConfig):
    name = "npd"
    verbose_name = "NPD"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.contrib.sessions.backends.db import SessionStore

        from npd import groups, models
        from npd.accounts.second_factor import encrypt_anew
        from sync.operations.retention import pruning

        models.register()
        pruning.connect(encrypt_anew, dispatch_uid="npd.encrypt_anew")
        pruning.connect(lambda **_: SessionStore.clear_expired(), weak=False, dispatch_uid="npd.clear_sessions")
        post_migrate.connect(groups.after_migrate, dispatch_uid="npd.groups")

"""Registers NPD's synced models, and lets our groups see a model that was added."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

OUR_GROUPS = "NPD Sync: "
"""How the names of the groups begin that a migration has made (npd/migrations/0001_initial.py)."""


class NpdConfig(AppConfig):
    name = "npd"
    verbose_name = "NPD"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.contrib.sessions.backends.db import SessionStore

        from npd import models
        from npd.accounts.second_factor import encrypt_anew
        from sync.operations.retention import pruning

        models.register()
        pruning.connect(encrypt_anew, dispatch_uid="npd.encrypt_anew")
        pruning.connect(lambda **_: SessionStore.clear_expired(), weak=False, dispatch_uid="npd.clear_sessions")
        post_migrate.connect(show_new_models, dispatch_uid="npd.show_new_models")


def show_new_models(sender: AppConfig, using: str, plan: Any = (), **kwargs: Any) -> None:
    """Let our groups see a synced model whose table this run has made; later their permissions are a person's.

    `plan` is what was migrated: pairs of a migration, and whether it was undone.
    """
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission
    from django.db.migrations import CreateModel

    from sync import registry

    made = {
        operation.name_lower
        for migration, undone in plan
        if migration.app_label == sender.label and not undone
        for operation in migration.operations
        if isinstance(operation, CreateModel)
    }
    models = {spec.model._meta.model_name for spec in registry.entities() if spec.model._meta.app_label == sender.label}
    if new := made & models:
        # Ours may run before Django's own handler.
        create_permissions(sender, verbosity=0, using=using)
        codenames = [f"view_{model}" for model in new]
        seen = Permission.objects.using(using).filter(content_type__app_label=sender.label, codename__in=codenames)
        for group in Group.objects.using(using).filter(name__startswith=OUR_GROUPS):
            group.permissions.add(*seen)

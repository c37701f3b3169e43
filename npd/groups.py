"""The groups of permissions: made with the tables, and from then on the administrator's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.migrations import CreateModel

from sync import registry

PREFIX = "NPD Sync: "

_VIEW = [
    "npd.view_contact", "npd.view_organization", "sync.view_boardlink", "sync.view_decision", "sync.view_fieldmapping",
    "sync.view_approvalrequest", "sync.view_mondayaccount", "sync.view_ignoreditem", "sync.view_verification",
    "sync.view_syncmetadata", "sync.view_syncqueue", "sync.view_tombstone", "sync.view_unmatcheditem",
    "conflicts.view_syncconflict", "npd.export_contact", "npd.export_organization",
]  # fmt: skip

GROUPS = {
    PREFIX + "view": _VIEW,
    PREFIX + "resolve conflicts": [
        "npd.view_contact", "npd.view_organization", "sync.view_decision", "conflicts.view_syncconflict",
        "conflicts.change_syncconflict",
    ],
    PREFIX + "operate": [
        *_VIEW, "sync.retry_syncqueue", "sync.cancel_syncqueue", "sync.discard_syncqueue", "sync.pause_syncqueue",
        "sync.change_approvalrequest", "sync.delete_ignoreditem", "sync.change_unmatcheditem", "sync.change_boardlink",
        "sync.change_fieldmapping",
    ],
    PREFIX + "edit contacts": [
        "npd.view_contact", "npd.add_contact", "npd.change_contact", "npd.delete_contact", "npd.view_organization",
        "npd.add_organization", "npd.change_organization", "npd.delete_organization", "conflicts.view_syncconflict",
        "conflicts.change_syncconflict", "sync.view_decision", "sync.view_syncmetadata", "sync.view_unmatcheditem",
        "sync.view_tombstone", "npd.export_contact", "npd.export_organization", "npd.import_contact",
        "npd.import_organization",
    ],
}  # fmt: skip
"""Their permissions, by Django's names."""


def after_migrate(sender: AppConfig, using: str, plan: Iterable[Any] = (), **kwargs: Any) -> None:
    """Make the groups where this run made NPD's tables, and let them see a synced model whose table it made.

    `plan` holds what was migrated: pairs of a migration, and whether it was undone.
    """
    created = {
        operation.name_lower
        for migration, undone in plan
        if migration.app_label == sender.label and not undone
        for operation in migration.operations
        if isinstance(operation, CreateModel)
    }
    if sender.label == "npd" and "contact" in created:
        make_groups(using)
    synced = {spec.model._meta.model_name for spec in registry.entities() if spec.model._meta.app_label == sender.label}
    if created & synced:
        # This receiver may run before Django's own, which makes the permissions.
        create_permissions(sender, verbosity=0, using=using)
        for group in Group.objects.using(using).filter(name__startswith=PREFIX):
            group.permissions.add(*_permissions([f"{sender.label}.view_{name}" for name in created & synced], using))


def make_groups(using: str = "default") -> None:
    """Make the groups that are missing, each with its permissions."""
    for app in apps.get_app_configs():
        create_permissions(app, verbosity=0, using=using)
    for name, codenames in GROUPS.items():
        group, is_new = Group.objects.using(using).get_or_create(name=name)
        if is_new:
            group.permissions.set(_permissions(codenames, using))


def _permissions(names: list[str], using: str) -> list[Permission]:
    """The rows of permissions by their names; raises DoesNotExist for one that no model has."""
    objects = Permission.objects.using(using)
    pairs = [name.split(".") for name in names]
    return [objects.get(content_type__app_label=app, codename=codename) for app, codename in pairs]

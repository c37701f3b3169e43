"""The two groups of people that a new installation has."""

from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.utils.text import capfirst

from sync.kernel import humanize

_RESOLVE = [
    "npd.view_contact",
    "npd.view_organization",
    "sync.view_activityline",
    "conflicts.view_syncconflict",
    "conflicts.change_syncconflict",
]

# Permissions of the two groups that the first migration makes. From then on administrators change them as they like;
# administrators themselves are superusers.
GROUPS = {
    "Resolve": _RESOLVE,
    "Edit": [
        *_RESOLVE,
        "npd.add_contact",
        "npd.change_contact",
        "npd.delete_contact",
        "npd.add_organization",
        "npd.change_organization",
        "npd.delete_organization",
        "npd.import_contact",
        "npd.import_organization",
        "npd.export_contact",
        "npd.export_organization",
        "sync.view_syncmetadata",
        "sync.view_unmatcheditem",
        "sync.view_tombstone",
    ],
}

# What members of these groups may do, for their administrator.
MEANINGS = {
    "Resolve": "sees contacts and organizations, and resolves conflicts.",
    "Edit": "adds, changes, deletes, restores, imports and exports contacts and organizations, and resolves conflicts.",
}


def meaning_of(group: Group) -> str:
    """Return in plain words what members of a group may do."""
    permissions = {
        f"{permission.content_type.app_label}.{permission.codename}": f"“{permission_text(permission)}”"
        for permission in group.permissions.all()
    }
    if not permissions:
        return "nothing yet."
    original = set(GROUPS.get(group.name, ()))
    # A group of an administrator's own, or one that has lost permissions since.
    if not original or original - permissions.keys():
        return f"{humanize.join_first(list(permissions.values()))}."
    added = [text for name, text in permissions.items() if name not in original]
    return MEANINGS[group.name] + (f" Also: {humanize.join_first(added)}." if added else "")


def permission_text(permission: Permission) -> str:
    """Return a permission as “Contact: view”."""
    kind = permission.content_type.name
    return f"{capfirst(kind)}: {permission.name.removeprefix('Can ').removesuffix(f' {kind}')}"


def after_migrate(sender: AppConfig, using: str, plan: Iterable[Any] = (), **kwargs: Any) -> None:
    """Make the groups when the run that has just ended made NPD's tables.

    `plan` lists the migrations of this run, each with whether it was undone.
    """
    applied = [(migration.app_label, migration.name) for migration, undone in plan if not undone]
    if sender.label == "npd" and ("npd", "0001_initial") in applied:
        make_groups(using)


def make_groups(using: str = "default") -> None:
    """Make missing groups with their permissions; leave existing groups alone."""
    for app in apps.get_app_configs():
        create_permissions(app, verbosity=0, using=using)
    permissions = Permission.objects.using(using)
    for title, codenames in GROUPS.items():
        group, is_new = Group.objects.using(using).get_or_create(name=title)
        if is_new:
            pairs = [codename.split(".") for codename in codenames]
            group.permissions.set([permissions.get(content_type__app_label=app, codename=name) for app, name in pairs])

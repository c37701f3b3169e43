"""The groups of permissions: on a fresh database, and as an administrator left them."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.migrations.loader import MigrationLoader

from sync import registry

pytestmark = pytest.mark.django_db

NAMES = {
    "NPD Sync: view", "NPD Sync: resolve conflicts", "NPD Sync: operate", "NPD Sync: edit contacts",
}  # fmt: skip


def make_groups() -> None:
    """By the migrations, each with the models as it knew them."""
    known = MigrationLoader(None).project_state([("npd", "0001_initial")]).apps
    import_module("npd.migrations.0001_initial").make_groups(known, None)
    import_module("npd.migrations.0002_todays_words").rename(apps, None)
    import_module("npd.migrations.0003_accounts_imports_and_roles").make_group(apps, None)


def test_on_a_fresh_database_the_permissions_are_those_that_django_makes_later() -> None:
    Group.objects.all().delete()
    Permission.objects.all().delete()
    make_groups()
    assert set(Group.objects.values_list("name", flat=True)) == NAMES
    by_migration = all_permissions()
    for app in apps.get_app_configs():
        create_permissions(app, verbosity=0)
    by_django = {
        (model._meta.app_label, f"{act}_{model._meta.model_name}", f"Can {act} {model._meta.verbose_name_raw}")
        for model in apps.get_models()
        for act in model._meta.default_permissions
    } | {
        (model._meta.app_label, codename, str(name))
        for model in apps.get_models()
        for codename, name in model._meta.permissions
    }
    assert by_migration < by_django
    assert all_permissions() == by_django


def all_permissions() -> set[tuple[str, str, str]]:
    found = Permission.objects.select_related("content_type")
    return {(one.content_type.app_label, one.codename, one.name) for one in found}


def test_what_an_administrator_changed_is_kept() -> None:
    group = Group.objects.get(name="NPD Sync: view")
    group.permissions.clear()
    Group.objects.get(name="NPD Sync: operate").delete()
    make_groups()
    assert set(Group.objects.values_list("name", flat=True)) == NAMES
    assert not group.permissions.exists()
    assert Group.objects.get(name="NPD Sync: operate").permissions.filter(codename="change_boardlink").exists()


def test_each_group_has_what_its_name_says() -> None:
    operators = Group.objects.get(name="NPD Sync: operate")
    own = set(operators.permissions.exclude(codename__startswith="view_").values_list("codename", flat=True))
    assert own == {
        "retry_syncqueue", "cancel_syncqueue", "discard_syncqueue", "pause_syncqueue", "change_approvalrequest",
        "delete_ignoreditem", "change_unmatcheditem", "change_periodictask", "export_lists", "change_boardlink",
        "change_fieldmapping",
    }  # fmt: skip
    resolvers = Group.objects.get(name="NPD Sync: resolve conflicts")
    # Also of the models that an installation has added.
    assert set(resolvers.permissions.values_list("codename", flat=True)) == {
        *(f"view_{one.entity_type}" for one in registry.entities()),
        "view_decision", "view_syncconflict", "change_syncconflict",
    }  # fmt: skip

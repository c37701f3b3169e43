"""The groups of permissions: on a fresh database, and as an administrator left them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from npd.groups import GROUPS, make_groups
from sync import registry

pytestmark = pytest.mark.django_db


def test_a_fresh_database_has_the_groups_with_permissions_that_exist() -> None:
    Group.objects.all().delete()
    Permission.objects.all().delete()
    make_groups()
    assert set(Group.objects.values_list("name", flat=True)) == GROUPS.keys()
    permissions = Permission.objects.filter(group__name="NPD Sync: operate")
    assert permissions.count() == len(GROUPS["NPD Sync: operate"])


def test_what_an_administrator_changed_is_kept_when_the_database_is_migrated_again() -> None:
    group = Group.objects.get(name="NPD Sync: view")
    group.permissions.clear()
    Group.objects.get(name="NPD Sync: operate").delete()
    call_command("migrate", verbosity=0)
    assert not group.permissions.exists()
    assert not Group.objects.filter(name="NPD Sync: operate").exists()


def test_each_group_has_what_its_name_says() -> None:
    operators = Group.objects.get(name="NPD Sync: operate")
    own = set(operators.permissions.exclude(codename__startswith="view_").values_list("codename", flat=True))
    assert own == {
        "retry_syncqueue", "cancel_syncqueue", "discard_syncqueue", "pause_syncqueue", "change_approvalrequest",
        "delete_ignoreditem", "change_unmatcheditem", "change_boardlink",
        "change_fieldmapping", "export_contact", "export_organization",
    }  # fmt: skip
    resolvers = Group.objects.get(name="NPD Sync: resolve conflicts")
    # Also of the models that an installation has added.
    assert set(resolvers.permissions.values_list("codename", flat=True)) == {
        *(f"view_{one.entity_type}" for one in registry.entities()),
        "view_decision", "view_syncconflict", "change_syncconflict",
    }  # fmt: skip

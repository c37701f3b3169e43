"""The groups of permissions: on a fresh database, and as an administrator left them."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from npd.groups import GROUPS, make_groups
from sync.registry import entities

pytestmark = pytest.mark.django_db


def test_what_an_administrator_changed_is_kept_when_the_database_is_migrated_again() -> None:
    group = Group.objects.get(name="Resolve")
    group.permissions.clear()
    Group.objects.get(name="Edit").delete()
    call_command("migrate", verbosity=0)
    assert not group.permissions.exists()
    assert not Group.objects.filter(name="Edit").exists()


def test_on_a_fresh_database_each_group_may_what_its_name_says_and_none_administers() -> None:
    Group.objects.all().delete()
    Permission.objects.all().delete()
    make_groups()
    assert set(Group.objects.values_list("name", flat=True)) == GROUPS.keys()
    assert Permission.objects.filter(group__name="Edit").count() == len(GROUPS["Edit"])

    def rights(group: str) -> set[str]:
        codenames = Permission.objects.filter(group__name=group).exclude(codename__startswith="view_")
        return set(codenames.values_list("codename", flat=True))

    acts = ("add", "change", "delete", "import", "export")
    records = {f"{act}_{spec.entity_type}" for act in acts for spec in entities()}
    assert rights("Resolve") == {"change_syncconflict"}
    assert rights("Edit") == {"change_syncconflict", *records}

"""CONTRIBUTING.md as written: a synced field, its migration and its column, in a copy of the repository."""

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from tests.support.in_process import Hooks
from tests.support.sandbox import Sandbox
from tests.support.servers import ROOT, run_command
from tests.support.site import child_environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.hostile, pytest.mark.slow]

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
STEPS = PAGE.partition("**A synced field**")[2].partition("**A synced model**")[0]
MIGRATION = PAGE.partition("## Write a migration")[2]

# Step 1, in npd/models.py: before a line, its new one.
FIELD = {
    "    notes = LongTextField(": '    site = models.CharField(max_length=99, blank=True, default="", db_default="")\n',
    '                MappingSpec("notes", ': 'MappingSpec("site", "Site", ("site",), "text", "site"),\n',
    '    "role_title": (\n': '    "site": ("homepage",),\n',
}
DATA = """
import django
django.setup()
from npd.models import Contact
Contact.objects.create(name="Ann", email="ann@example.com")
"""
USE = """
import django
django.setup()
from npd.models import Contact
from sync.models import history_of
Contact.objects.filter(name="Ann").update(site="x.org")
assert list(history_of(Contact).objects.order_by("pgh_id").values_list("site", flat=True)) == ["", "x.org"]
from sync.models import FieldMapping
from sync.operations.import_columns import suggest_columns
from sync.operations.record_files import resource_of
assert FieldMapping.objects.exclude(column_id="").filter(key="site", link__entity_type="contact").exists()
assert "site" in resource_of(Contact)().fields
assert suggest_columns(Contact, ["Name", "Homepage"]) == ["name", "site"]
"""


def commands_in(text: str) -> list[str]:
    return [" ".join(command.split()) for command in re.findall(r"`((?:make|manage\.py)\s[^`]+)`", text)]


def follow(copy: Path, environment: dict[str, str], command: str) -> str:
    words = command.split()
    end = run_command(*([sys.executable, *words] if words[0] == "manage.py" else words), cwd=copy, env=environment)
    assert end.returncode == 0, f"{command}: {end.stdout}{end.stderr}"
    return end.stdout


def test_a_field_is_added_as_contributing_says(
    tmp_path: Path, running_sandbox: object, sandbox: Sandbox, hooks: Hooks
) -> None:
    copy = tmp_path / "npd-sync"
    for name in run_command("git", "ls-files", check=True).stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    child = child_environment()
    database = f"{connection.settings_dict['NAME']}_with_field"
    environment = child | {
        "DATABASE_URL": urlunsplit(urlsplit(child["DATABASE_URL"])._replace(path=f"/{database}")),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(copy),
        "MONDAY_API_URL": sandbox.api_url,
        "SITE_URL": hooks.url,
    }
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database}")
    try:
        follow(copy, environment, "manage.py migrate")
        run_python(copy, environment, DATA)
        add_field(copy)
        migration, make_format, migrate, *_ = commands_in(MIGRATION)
        [set_up] = commands_in(STEPS)
        before = {path: path.read_text() for path in copy.glob("*/migrations/*.py")}
        for command in (migration, make_format, migrate, set_up):
            follow(copy, environment, command)
        [new] = [path for path in copy.glob("*/migrations/*.py") if before.get(path) != path.read_text()]
        assert new.parent == copy / "npd/migrations"
        run_python(copy, environment, USE)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {database} WITH (FORCE)")


def run_python(copy: Path, environment: dict[str, str], code: str) -> None:
    end = run_command(sys.executable, "-c", code, cwd=copy, env=environment)
    assert end.returncode == 0, end.stderr


def add_field(copy: Path) -> None:
    models = (copy / "npd/models.py").read_text()
    for line, new in FIELD.items():
        place = models.rindex(line)
        models = f"{models[:place]}{new}{models[place:]}"
    (copy / "npd/models.py").write_text(models)

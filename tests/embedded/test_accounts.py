"""Root starts PostgreSQL wherever it is: also below a folder that nobody else may enter, as /root is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded import accounts
from tests.support.servers import ran

pytestmark = [pytest.mark.processes, pytest.mark.skipif(os.geteuid() != 0, reason="only root meets this")]
START = """
import pathlib, sys
import psycopg
from config.embedded.postgres import EmbeddedPostgres
from config.embedded.processes import StartError
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]), fast=True)
try:
    server.start()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS starts (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO starts DEFAULT VALUES")
        print(connection.execute("SELECT count(*) FROM starts").fetchone()[0])
    server.stop()
except StartError as error:
    print(error)
"""


@pytest.fixture
def place(open_folder: Path) -> Iterator[Path]:
    """Where the data of a project below a closed folder belongs."""
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    found = closed / "var" / "pg"
    yield found
    home = accounts.relocation_of(found)
    if home:
        subprocess.run(["rm", "-r", str(home)], check=True)


def start(place: Path) -> str:
    """Start PostgreSQL there in a process of its own; how many starts its data remembers, or the reason."""
    return ran(sys.executable, "-c", START, str(place), check=True).stdout.strip()


def nowhere_else(place: Path, *command: str) -> str:
    """What a command says where no folder elsewhere will do."""
    mounted = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o mode=700 none /var/lib && exec "$@"', "sh"]
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(place.parent.parent)}
    result = ran(*mounted, *command, env=env)
    if "mount:" in result.stderr:
        pytest.skip("this root may not mount")
    return result.stdout + result.stderr


def open_up(place: Path, mode: int) -> None:
    place.parent.parent.chmod(mode)


def owner(place: Path) -> int:
    return place.stat().st_uid


def test_below_a_folder_that_only_root_may_enter_it_runs_elsewhere_again_and_again(place: Path) -> None:
    assert [start(place), start(place)] == ["1", "2"]
    home = accounts.relocation_of(place)
    assert home is not None
    assert owner(home / "pg") == accounts.nobody().uid


def test_a_folder_that_is_closed_or_opened_later_keeps_its_data(place: Path) -> None:
    nobody = accounts.nobody().uid
    open_up(place, 0o755)
    found = [start(place), place.is_symlink(), owner(place) == nobody]
    open_up(place, 0o700)
    found += [start(place), place.is_symlink(), owner(place) == nobody]
    open_up(place, 0o755)
    assert [*found, start(place), owner(place) == nobody] == ["1", False, True, "2", True, True, "3", True]


def test_a_move_that_was_cut_off_is_taken_up(place: Path) -> None:
    open_up(place, 0o755)
    start(place)
    open_up(place, 0o700)
    place.rename(place.with_name("pg.moved"))
    assert start(place) == "2"
    assert sorted(path.name for path in place.parent.iterdir()) == ["pg", "pg.log"]


def test_data_whose_folder_elsewhere_is_gone_is_no_silent_new_start(place: Path) -> None:
    start(place)
    home = accounts.relocation_of(place)
    assert home is not None
    gone = home.rename(home.with_name(home.name + "-gone"))
    said = start(place)
    gone.rename(home)
    assert str(home) in said
    assert "make reset" in said


def test_where_nothing_helps_a_sentence_names_the_folder_and_what_to_do(place: Path) -> None:
    said = nowhere_else(place, sys.executable, "-c", START, str(place))
    assert f"may not enter {place.parent}" in said
    assert "for example /srv" in said
    assert not list(place.parent.glob("pg*"))

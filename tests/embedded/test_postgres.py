import os
import pwd
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from config.embedded.postgres import EmbeddedPostgres, StartError
from tests.support.servers import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.processes

HOLDER = """
import sys, time, pathlib
from config.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]), fast=True)
server.start()
print(server.process.pid, flush=True)
time.sleep(600)
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root meets this")


def start_and_kill_holder(data: Path) -> int:
    """Start a cluster in another process and kill that one by SIGKILL; PostgreSQL's process id."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(data)], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        pid = int(holder.stdout.readline())
        holder.kill()
    return pid


def test_a_second_start_keeps_the_data(server: EmbeddedPostgres) -> None:
    server.start()
    server.create_database("npd")
    with psycopg.connect(server.url("npd"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    server.start()
    server.create_database("npd")
    with psycopg.connect(server.url("npd")) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_a_stop_ends_open_sessions_and_every_process(server: EmbeddedPostgres) -> None:
    server.start()
    assert server.process
    family = [server.process.pid, *(child.pid for child in psutil.Process(server.process.pid).children())]
    with psycopg.connect(server.url("postgres")) as session:
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert not [pid for pid in family if psutil.pid_exists(pid)]


def test_the_server_ends_with_its_killed_parent_and_starts_again(server: EmbeddedPostgres) -> None:
    pid = start_and_kill_holder(server.data)
    server.start()
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    if sys.platform == "linux":  # by the kernel's parent-death signal
        wait_for("the first has ended", lambda: not psutil.pid_exists(pid))


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


@as_root
def test_below_a_folder_that_only_root_may_enter_a_sentence_says_what_to_do(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    server = EmbeddedPostgres(open_folder / "closed" / "var" / "pg")
    with pytest.raises(StartError, match=rf"may not enter {open_folder}/closed/var\. Move .*for example /srv"):
        server.start()


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


@on_linux
def test_sigint_to_the_starter_reaches_postgresql_only_through_us(server: EmbeddedPostgres) -> None:
    server.start()
    assert server.process
    assert os.getpgid(server.process.pid) == server.process.pid != os.getpgid(0)
    os.kill(server.process.pid, signal.SIGINT)
    assert server.process.wait(20) == 0

import os
import pwd
import stat
from pathlib import Path

import pytest

from config.embedded.postgres import EmbeddedPostgres, StartError

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

"""Servers as people have them: PostgreSQL behind PgBouncer in transaction mode, and on a disk that is full."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import requests
from django.db import connection

from config.embedded.postgres import EmbeddedPostgres
from npd.models import Contact
from sync.models import BoardLink
from tests.embedded.conftest import folder_of_ones_own
from tests.story.conftest import names_on_board, save, synced
from tests.support.child import command_of
from tests.support.people import session_cookie
from tests.support.servers import free_port, run_command
from tests.support.site import Processes, Site, child_environment, start_child
from tests.support.waiting import wait_for

pytestmark = pytest.mark.processes
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

# One administrator's import and export, while four others read.
WORK = """
from concurrent.futures import ThreadPoolExecutor
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import setup_test_environment
from tests.files.conftest import exported, imported

def signed_in():
    client = Client()
    client.force_login(User.objects.get())
    return client

def read(number):
    client = signed_in()
    pages = ["/admin/", "/admin/npd/contact/", "/admin/sync/activityline/", "/api/v1/contacts/"]
    return [client.get(page).status_code for page in pages * 5]

setup_test_environment()
rows = [f"P{number},p{number}@example.com,Acme" for number in range(300)]
print(imported(signed_in(), "\\n".join(["Name,Email,Organization", *rows]), create_missing="on"))
with ThreadPoolExecutor(8) as pool:
    readers = [pool.submit(read, number) for number in range(4)]
    files = [pool.submit(exported, signed_in(), "contact", number % 2) for number in range(8)]
    print({status for reader in readers for status in reader.result()}, [len(file.result()) > 9_000 for file in files])
"""


@pytest.fixture
def pooled(processes: Processes) -> Iterator[int]:
    """PgBouncer, which all processes go through; fewer connections than they need make transactions change theirs.

    Its connections have a style of intervals that psycopg can't read, whatever a process has set on one of them.
    """
    if PGBOUNCER is None:
        missing = "no pgbouncer on this machine (Debian, Ubuntu: sudo apt install pgbouncer)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    at, port = connection.settings_dict, free_port()
    server = " ".join(
        f"{name}='{at[name.upper()]}'" for name in ("host", "port", "user", "password") if at[name.upper()]
    )
    with folder_of_ones_own() as folder:
        (folder / "ini").write_text(
            f"[databases]\n{at['NAME']} = {server} connect_query='SET IntervalStyle = iso_8601'\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            "unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n"
        )
        as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
        bouncer = start_child(f"pgbouncer-{port}", [PGBOUNCER, *as_user, str(folder / "ini")], dict(os.environ))
        url = f"postgresql://any@127.0.0.1:{port}/{at['NAME']}?prepare_threshold=off"
        with processes.with_variables(DATABASE_URL=url):
            yield port
        bouncer.stop(5)


def test_behind_pgbouncer_set_up_sync_import_export_and_pages_work(pooled: int, quiet_site: Site) -> None:
    site = quiet_site
    BoardLink.objects.all().delete()
    site.sandbox.reset()
    for command in ("migrate", "monday_setup", "monday_check"):
        done = run_command(sys.executable, "manage.py", command, env=site.processes.env)
        assert done.returncode == 0, done.stdout + done.stderr
    site.processes.work()
    save(site, name="Ann")
    site.wait_for("NPD's is on the board", lambda: synced("Ann"))
    site.sandbox.act("edit", item_id=Contact.objects.get().monday_id, column_id="role_title", text="Chair")
    site.wait_for("the board's is in NPD", Contact.objects.filter(role_title="Chair").exists)
    done = run_command(sys.executable, "manage.py", "shell", "-v0", "-c", WORK, env=site.processes.env)
    assert done.stdout.splitlines()[-1:] == [f"{{200}} {[True] * 8}"], done.stdout + done.stderr
    site.wait_for("the import is on the board", lambda: synced() and len(names_on_board(site)) == 302, 120)
    cookie = session_cookie(site.user, site.url)
    home = requests.get(site.path("/admin/"), cookies={cookie["name"]: cookie["value"]}, timeout=30)
    assert home.status_code == 200
    assert requests.get(site.path("/readyz"), timeout=30).json() == {"ready": True, "reasons": []}
    with psycopg.connect(f"postgresql://any@127.0.0.1:{pooled}/pgbouncer", autocommit=True) as console:
        console.prepare_threshold = None
        cursor = psycopg.ClientCursor(console)
        totals = {row[0]: row[1] for row in cursor.execute("SHOW STATS_TOTALS")}
    assert totals[connection.settings_dict["NAME"]] > 500


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 MB."""
    with folder_of_ones_own() as folder:
        disk = folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", str(disk)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("only root may mount a small disk here")
        yield disk
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.django_db
def test_a_full_disk_is_said_in_postgresqls_own_words(small_disk: Path) -> None:
    server = EmbeddedPostgres(small_disk.parent / "pg", fast=True)
    server.start()
    (small_disk / "data").mkdir()
    shutil.chown(small_disk / "data", server.as_account.get("user"), server.as_account.get("group"))
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{small_disk / 'data'}'")
        admin.execute("CREATE DATABASE npd TABLESPACE small")
    port = free_port()
    env = child_environment() | {
        "DATABASE_URL": server.url("npd"),
        "PORT": str(port),
        "SITE_URL": f"http://127.0.0.1:{port}",
    }
    run_command(sys.executable, "manage.py", "migrate", env=env, check=True)
    web = start_child(f"web-{port}", command_of("web"), env, f"http://127.0.0.1:{port}/healthz")

    def reasons() -> list[str]:
        answer: dict[str, list[str]] = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=30).json()
        return answer["reasons"]

    try:
        assert reasons() == []
        fill(small_disk / "full")
        wait_for("it says so", lambda: "No space left on device" in str(reasons()), 15)
        (small_disk / "full").unlink()
        wait_for("it is ready again", lambda: not reasons(), 15)
    finally:
        web.stop(5)
        server.stop()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1_000_000, 4_096):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)

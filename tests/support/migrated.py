"""The database as migrations leave it, kept in the run's own cluster: where they are the same, a run begins with it.

To migrate takes a process some seconds, and each small run would begin with them.
"""

import hashlib
import os
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.db import connection
from psycopg import sql

from tests.support.servers import ROOT

PREFIX = "migrated_"


def kept_name() -> str:
    """By all that migrations are made of: ours with what they use, and the versions of others'."""
    used = [ROOT / name for name in ("requirements/development.txt", "sync/clock.py", "npd/apps.py")]
    digest = hashlib.sha256()
    for path in (*used, *sorted(ROOT.glob("*/migrations/*.py"))):
        digest.update(f"{path.relative_to(ROOT)} {path.read_text()}".encode())
    return PREFIX + digest.hexdigest()[:16]


def begin_with_kept() -> None:
    """The test database is made as a copy, where one is kept; what migrations left to do is done by them."""
    if is_own_cluster() and kept_name() in _kept_names():
        connection.settings_dict["TEST"]["TEMPLATE"] = kept_name()


def keep() -> None:
    """Once it is migrated, before any test; what other migrations left goes."""
    if not is_own_cluster() or kept_name() in _kept_names():
        return
    with _server() as server:
        for name in _kept_names():
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        names = sql.Identifier(kept_name()), sql.Identifier(str(connection.settings_dict["NAME"]))
        connection.close()  # or PostgreSQL refuses to copy it
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))


def is_own_cluster() -> bool:
    """On servers of others a run leaves nothing behind."""
    return os.environ.get("TEST_SERVERS") != "1"


def _kept_names() -> list[str]:
    with _server() as server:
        rows = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        return [name for (name,) in rows]


def _server() -> psycopg.Connection:
    parts = urlsplit(os.environ["DATABASE_URL"])
    return psycopg.connect(urlunsplit(("postgresql", parts.netloc, "/postgres", parts.query, "")), autocommit=True)

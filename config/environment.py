"""Where settings come from: the environment, then a .env file beside manage.py, then a running `make run`.

`make run` writes what it gives to its children into var/run.json, so that `manage.py` in a second
terminal meets the same database, the same sandbox and the same secrets without a single export.
"""

import importlib.util
import json
import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import environ
import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.pq import Conninfo

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"
RUN_FILE = VAR / "run.json"

NO_SERVER = (
    "There is no database: DATABASE_URL is not set and the embedded PostgreSQL is not running.\n"
    "Start `make run` in another terminal and try again, or set DATABASE_URL."
)
# A folder that never exists: connecting fails at once, and manage.py turns that into NO_SERVER.
NOWHERE = "postgresql://postgres@/npd?host=/nonexistent/npd-sync-is-not-running"


def load(run_file: Path = RUN_FILE, dotenv: Path = BASE_DIR / ".env") -> None:
    """Fill os.environ with what .env and a running `make run` say; a variable that is set already stays."""
    if dotenv.is_file():
        environ.Env.read_env(str(dotenv), overwrite=False)
    told = running(run_file)
    if os.environ.get("DATABASE_URL") in (None, "", told.get("DATABASE_URL")):
        for name, value in told.items():
            if not os.environ.get(name):
                os.environ[name] = value


def running(run_file: Path = RUN_FILE) -> dict[str, str]:
    """The environment of a running `make run`; empty when none is running."""
    try:
        return dict(json.loads(run_file.read_text()))
    except (OSError, ValueError):
        return {}


def database_url() -> str:
    """The database's URL; one that can't be reached when there is neither DATABASE_URL nor a server."""
    return os.environ.get("DATABASE_URL") or NOWHERE


def embedded_is_away() -> bool:
    """Whether a failed connection means that `make run` is not running, and no server of one's own."""
    url = database_url()
    return url == NOWHERE or url == running().get("DATABASE_URL")


def unreachable(error: Exception) -> str:
    """A sentence for a database that can't be connected to, without its password; "" for any other failure."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.OperationalError) or cause.sqlstate is not None:
        return ""
    parts = urlsplit(database_url())
    server = parts.netloc.rpartition("@")[2] or "its socket"
    reason = (str(cause).strip().splitlines() or ["it gave no reason"])[0].rstrip(".?")
    if parts.password:
        reason = reason.replace(parts.password, "[secret]")
    return (
        f"The database at {server}{parts.path} can't be reached: {reason}.\n"
        "Is it running? Start it, or correct DATABASE_URL, and try again."
    )


def broker_url(database: str) -> str:
    """CELERY_BROKER_URL, else REDIS_URL, else PostgreSQL where the embedded requirements are installed.

    Raises ImproperlyConfigured when none of the three is possible.
    """
    named = os.environ.get("CELERY_BROKER_URL") or os.environ.get("REDIS_URL")
    if named:
        return named
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ImproperlyConfigured(
            "set REDIS_URL (for example redis://127.0.0.1:6379/0), which Celery needs as its broker; "
            "or install requirements/embedded.txt to use PostgreSQL for that"
        )
    parts = urlsplit(database)
    # urlunsplit drops the // of an empty host, which a socket's URL has.
    rest = urlunsplit(("", "", parts.path, _for_a_driver(parts.query), ""))
    return f"sqla+postgresql+psycopg://{parts.netloc}{rest}"


def _for_a_driver(query: str) -> str:
    """Leave out what only Django understands (conn_max_age, pool …): a driver refuses every word it doesn't know."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"prepare_threshold"}
    return "&".join(part for part in query.split("&") if part.partition("=")[0] in known)

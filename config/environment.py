"""Reads settings from the environment, then from .env beside manage.py, then from a running `make run`.

VARIABLES has each variable's kind and default. For any variable NAME, NAME_FILE may name a file with the value.

`make run` writes its environment into var/run.json, so `manage.py` in a second terminal has the same database, sandbox
and secrets.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
import psycopg
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"
RUN_FILE = VAR / "run.json"


def kind(pattern: str, meaning: str, convert: Callable[[str], Any] = str) -> Callable[[str], Any]:
    """Return the kind of variables whose text matches a pattern: a function that returns the value.

    The message of its ValueError completes “NAME must be …”, and never shows the text, which may be a secret.
    """

    def value_of(text: str) -> Any:
        if not re.fullmatch(pattern, text):
            raise ValueError(meaning)
        return convert(text)

    return value_of


# User and password. An unquoted @ / ? or # in a password would end it early, and messages would show the rest as the
# host.
ACCOUNT = r"([^@/?#\[\]\s]*@)?"
PORT = r"(6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
HOST = rf"(\[[0-9a-fA-F:.]+\]|[^@/?#:\[\]\s]*)(:{PORT})?"
SERVER = rf"://{ACCOUNT}{HOST}([/?][^@\s]*)?"
SECONDS = r"\d{1,7}(\.\d+)?"
# As the header Host has it: Django answers no other.
HOST_NAME = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"

server_url = kind(
    f"[a-z][a-z0-9+]*{SERVER}",
    "like scheme://user:password@host:port, with signs like @ / ? # written as %40 %2F %3F %23",
)
postgresql = kind(
    f"postgres(ql)?{SERVER}",
    "the address of a PostgreSQL server, like postgresql://user:password@host:port/name, with signs like @ / ? # "
    "written as %40 %2F %3F %23",
)
web_url = kind(
    rf"https?://{ACCOUNT}(?=[^/]){HOST}(/\S*)?",
    "an address like https://name.example.org",
    lambda text: text.rstrip("/"),
)
# Links and webhooks have paths below it, and it is the name of the site.
site_url = kind(
    rf"https?://{HOST_NAME}(:{PORT})?/?",
    "an address like https://name.example.org, without a path; of an international name its form with xn--",
    lambda text: text.rstrip("/"),
)
# django-environ would read any other word as false.
yes_or_no = kind(
    "(?i)true|yes|on|1|false|no|off|0", "true or false", lambda text: text.lower() in ("true", "yes", "on", "1")
)
whole_number = kind(r"\d+", "a number, 0 or more", int)
port = kind(PORT, "a port, from 1 to 65535", int)
seconds = kind(SECONDS, "a number of seconds from 0 to 9999999", float)
seconds_above_0 = kind(f"(?=.*[1-9]){SECONDS}", "a number of seconds above 0, up to 9999999", float)
throttle = kind(r"[1-9]\d*/(s|sec|second|m|min|minute|h|hour|d|day)", "a number of requests in a time, like 60/min")
# What a header may contain.
ascii_text = kind(r"[\x00-\x7f]*", "without letters that aren't ASCII: copy it again")
# Anybody can reach the endpoints that they protect, so nobody may be able to guess them.
endpoint_secret = kind(r"[\x00-\x7f]{12,}", "12 random ASCII characters or more, as `openssl rand -hex 16` makes")
webhook_token = kind(
    r"[A-Za-z0-9._~+=-]{12,}",
    "12 or more letters, digits and -._~+= only, as `openssl rand -hex 16` makes: it is part of an address",
)


def comma_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


host_names = kind(
    rf"[\s,]*((\*|\.?{HOST_NAME})\s*(,[\s,]*|$))*",
    "host names without https:// and ports, separated by commas",
    comma_list,
)

# The kind and default of each variable that the settings read. .env.example explains them.
VARIABLES: dict[str, tuple[Any, Any]] = {
    "DATABASE_URL": (postgresql, ""),
    "REDIS_URL": (server_url, ""),
    "CELERY_BROKER_URL": (server_url, ""),
    "SITE_URL": (site_url, ""),
    "SECRET_KEY": (str, ""),
    "ENCRYPTION_KEY": (comma_list, []),
    "DEBUG": (yes_or_no, False),
    "ALLOWED_HOSTS": (host_names, []),
    "TRUSTED_PROXIES": (whole_number, 0),
    "PORT": (port, 8000),
    "SANDBOX_PORT": (port, 8001),
    "CRON_SECRET": (endpoint_secret, ""),
    "METRICS_TOKEN": (endpoint_secret, ""),
    "SENTRY_DSN": (web_url, ""),
    "MONDAY_API_KEY": (ascii_text, ""),
    "MONDAY_API_URL": (web_url, "https://api.monday.com/v2"),
    "MONDAY_WEB_URL": (web_url, ""),
    "MONDAY_API_VERSION": (str, "2026-10"),
    "MONDAY_TIMEOUT_SECONDS": (seconds_above_0, 30.0),
    "MONDAY_SETTLE_SECONDS": (seconds, 60.0),
    "MONDAY_CONTACTS_BOARD_ID": (str, ""),
    "MONDAY_ORGANIZATIONS_BOARD_ID": (str, ""),
    "MONDAY_SIGNING_SECRET": (str, ""),
    "MONDAY_WEBHOOK_TOKEN": (webhook_token, ""),
    "NEW_ITEM_WAIT_SECONDS": (seconds, 300.0),
    "SYNC_GUARD_RECORDS": (whole_number, 50),
    "SYNC_GUARD_PERCENT": (whole_number, 10),
    "EMAIL_URL": (server_url, ""),
    "EMAIL_FROM": (str, ""),
    "REQUIRE_TWO_FACTOR": (yes_or_no, False),
    "OIDC_SERVER_URL": (web_url, ""),
    "OIDC_CLIENT_ID": (str, ""),
    "OIDC_CLIENT_SECRET": (str, ""),
    "API_THROTTLE": (throttle, "3000/min"),
    "SYNC_NOW_THROTTLE": (throttle, "60/min"),
    # `make run` sets these two for its own processes.
    "EMBEDDED": (yes_or_no, False),
    "DEMO": (yes_or_no, False),
}

# What no log may show.
SECRETS = (
    "SECRET_KEY", "ENCRYPTION_KEY", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "CRON_SECRET", "METRICS_TOKEN",
    "MONDAY_API_KEY", "MONDAY_SIGNING_SECRET", "MONDAY_WEBHOOK_TOKEN", "EMAIL_URL", "OIDC_CLIENT_SECRET", "SENTRY_DSN",
)  # fmt: skip


def utf_8_text(content: bytes, source: str) -> str:
    """Return the text of a file, without an editor's byte order mark; `source` names it in the error."""
    with contextlib.suppress(UnicodeDecodeError):
        text = content.decode("utf-8-sig")
        if "\0" not in text:  # as UTF-16 of plain letters has
            return text
    raise ImproperlyConfigured(f"{source} can't be read: save it as UTF-8")


class Values(FileAwareMapping):
    """The environment, and the files that it names."""

    def __getitem__(self, name: str) -> str:
        file = self.env.get(f"{name}_FILE")
        text = content_of(name, file) if file else self.env[name]
        text = text.strip()
        # docker-compose.yml sets variables that are missing from .env to empty texts.
        if not text:
            raise KeyError(name)
        # django-environ reads an unescaped value that begins with $ as another variable's name. `escape_proxy` below
        # removes the backslash again.
        return text.replace("$", r"\$")


def content_of(name: str, file: str) -> str:
    """Return the text of the file that NAME_FILE names."""
    # Errors don't have its path, because somebody may put the secret itself there.
    source = f"the file that {name}_FILE names"
    try:
        content = Path(file).read_bytes()
    except OSError:
        raise ImproperlyConfigured(f"{source} can't be read") from None
    return utf_8_text(content, source)


class Environment(environ.FileAwareEnv):
    """django-environ's, but its errors never show a value."""

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


def names_board(variable: str) -> bool:
    return variable.startswith("MONDAY_") and variable.endswith("_BOARD_ID")


# What the Procfile, docker-compose.yml and Sentry's library read.
READ_ELSEWHERE = ("WEB_CONCURRENCY", "WORKER_CONCURRENCY", "POSTGRES_PASSWORD", "SENTRY_ENVIRONMENT", "SENTRY_RELEASE")


@checks.register
def check_names(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn of variables that nothing reads, and that differ from one of ours by a letter or two."""
    names = [*VARIABLES, *READ_ELSEWHERE]
    names += [f"{name}_FILE" for name in names]
    warnings: list[checks.CheckMessage] = []
    for name in os.environ:
        meant = [] if name in names or names_board(name) else get_close_matches(name.upper(), names, 1, cutoff=0.9)
        if meant:
            warnings.append(checks.Warning(f"{name} is set, but nothing reads it. Is it {meant[0]}?", id="sync.W002"))
    return warnings


def load(run_file: Path = RUN_FILE, dotenv: Path = BASE_DIR / ".env") -> None:
    """Add the variables of .env and of a running `make run` to os.environ; those that are set stay.

    A running `make run` is ignored if DATABASE_URL names another database than its own.
    """
    read_dotenv(dotenv)
    values = running_environment(run_file)
    if env("DATABASE_URL") in ("", values.get("DATABASE_URL")):
        for name, value in values.items():
            if not os.environ.get(name):
                os.environ[name] = value


# django-environ's own reader (0.14) logs a line that it doesn't understand, with its secret. It takes a comment for a
# part of the value, or any `#` in a password for a comment.
ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
IN_SINGLE_QUOTES = re.compile(r"'(.*?)'\s*(?:#.*)?")
IN_DOUBLE_QUOTES = re.compile(r'"((?:\\.|[^\\])*?)"\s*(?:#.*)?')


def read_dotenv(dotenv: Path) -> None:
    """Add the variables of this file to os.environ; those that are set stay.

    Raises ImproperlyConfigured with the lines that aren't understood, by number and name, never by value.
    """
    if not dotenv.is_file():
        return
    try:
        content = dotenv.read_bytes()
    except OSError:
        raise ImproperlyConfigured(f"{dotenv} can't be read by this user") from None
    variables = {}
    problems: list[str] = []
    for number, line in enumerate(map(str.strip, utf_8_text(content, str(dotenv)).splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        assignment = ASSIGNMENT.fullmatch(line)
        value = dotenv_value(assignment[2]) if assignment else None
        if assignment and value is not None:
            variables[assignment[1]] = value
        else:
            # Behind an open quote, another word may be a part of the secret in it.
            name = known_name(line) or (assignment[1] if assignment and not problems else "")
            problems.append(f"line {number} ({name})" if name else f"line {number}")
    if problems:
        raise ImproperlyConfigured(
            f"{', '.join(problems)} of {dotenv} can't be understood. Write NAME=value, or NAME='value' in a pair of "
            "quotes, or begin the line with # to leave it out"
        )
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def dotenv_value(text: str) -> str | None:
    """Return the value behind a `=`, without its quotes and comment; None if its quotes don't end."""
    # A comment begins behind a blank: a # within a word is part of a password.
    bare = re.sub(r"\s#.*", "", text).strip()
    text = text.strip()
    if quoted := IN_SINGLE_QUOTES.fullmatch(text):
        return quoted[1]
    if quoted := IN_DOUBLE_QUOTES.fullmatch(text):
        return re.sub(r"\\([^rnt])", r"\1", quoted[1])
    has_open_quote = bare[:1] in ("'", '"') and bare.count(bare[0]) == 1
    return None if has_open_quote else bare


def known_name(line: str) -> str:
    """Return the name of one of our variables if the line begins with it; any other word may be a secret."""
    word = re.match(r"(?:export\s+)?(\w*)", line)
    name = word[1] if word else ""
    return name if name.removesuffix("_FILE") in VARIABLES else ""


def load_dotenv_and_secret_files() -> None:
    """Add the variables of .env, and secrets that are in files, to os.environ, for the processes of `make run`."""
    read_dotenv(BASE_DIR / ".env")
    for name in SECRETS:
        secret = env.str(name, "")  # unconverted: `env` makes a list of ENCRYPTION_KEY
        if secret:
            os.environ[name] = secret


def secret_texts() -> Iterator[str]:
    """Yield the texts that no log may show: each secret, and each URL's password, quoted and unquoted.

    A variable's value is taken for a URL with a password if its name ends in _URL; of others it is secret as a whole.
    """
    for name in SECRETS:
        value = env(name)
        if isinstance(value, list):
            yield from value
        elif name.endswith("_URL"):
            password = urlsplit(value).password or ""
            yield from (password, unquote(password))
        else:
            yield value


# Secrets that `make run` makes itself.
OWN_SECRETS = (
    "secret_key", "monday_api_key", "monday_webhook_token", "cron_secret", "metrics_token", "admin_password",
)  # fmt: skip


def load_or_create_secrets(folder: Path) -> dict[str, str]:
    """Return the secrets in secrets.json of this folder, created at the first call; only its owner can read it.

    Two processes that call this first at the same time get the same secrets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / "secrets.json", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        stored: dict[str, str] = json.loads(file.read() or "{}")
        for name in OWN_SECRETS:
            stored.setdefault(name, secrets.token_urlsafe(24))
        file.seek(0)
        json.dump(stored, file, indent=1)
        file.truncate()
    return stored


NO_DATABASE_MESSAGE = (
    "There is no database: DATABASE_URL is not set and the embedded PostgreSQL is not running.\n"
    "Start `make run` in another terminal and try again, or set DATABASE_URL."
)

# This folder never exists, so connecting fails at once, and manage.py prints NO_DATABASE_MESSAGE.
UNREACHABLE_URL = "postgresql://postgres@/npd?host=/nonexistent/npd-sync-is-not-running"


def running_environment(run_file: Path = RUN_FILE) -> dict[str, str]:
    """Return the environment of a running `make run`, or an empty one."""
    try:
        return dict(json.loads(run_file.read_text()))
    except (OSError, ValueError):
        return {}


def database_url() -> str:
    """Return DATABASE_URL, or an unreachable URL if it isn't set."""
    return str(env("DATABASE_URL")) or UNREACHABLE_URL


def unreachable_message(error: Exception) -> str:
    """Return the sentence about an unreachable database; empty for other errors."""
    cause = error.__cause__
    # With an SQLSTATE, a server has answered.
    if not isinstance(cause, psycopg.OperationalError) or cause.sqlstate is not None:
        return ""
    if database_url() in (UNREACHABLE_URL, running_environment().get("DATABASE_URL")):
        return NO_DATABASE_MESSAGE
    reason = str(cause).strip().partition("\n")[0].rstrip(".?")
    return f"The database can't be reached: {reason}.\nIs it running? Start it, or correct DATABASE_URL, and try again."


def broker_url(database: str) -> str:
    """Return CELERY_BROKER_URL, REDIS_URL or PostgreSQL, the last only with the embedded requirements installed.

    Raises ImproperlyConfigured if none of them is possible.
    """
    broker = str(env("CELERY_BROKER_URL") or env("REDIS_URL"))
    if broker.startswith("rediss://") and "ssl_cert_reqs" not in broker:
        # Without it, kombu believes any certificate.
        broker += f"{'&' if '?' in broker else '?'}ssl_cert_reqs=required"
    if broker:
        return broker
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ImproperlyConfigured(
            "set REDIS_URL (for example redis://127.0.0.1:6379/0), which Celery needs as its broker; "
            "or install requirements/embedded.txt to use PostgreSQL for that"
        )
    return f"sqla+postgresql+psycopg://{database.partition('://')[2]}"

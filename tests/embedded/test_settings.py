import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import OperationalError, connection

from config import environment
from tests.support.child import command_of
from tests.support.servers import NOT_FOR_TESTS, ROOT, free_port, run_command

pytestmark = pytest.mark.processes

BARE = {name: value for name, value in os.environ.items() if not name.startswith((*NOT_FOR_TESTS, "SECRET_KEY"))}
KEY = "k" * 32
SERVERS = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}


def settings_of(*names: str, **env: str) -> dict[str, object]:
    code = f"import json, django.conf as c; s = c.settings;print(json.dumps({{n: getattr(s, n) for n in {names!r}}}))"
    environment = {**BARE, **SERVERS, "SECRET_KEY": KEY, "DJANGO_SETTINGS_MODULE": "config.settings", **env}
    return json.loads(run_command(sys.executable, "-c", code, env=environment, check=True).stdout)


SECURED = ("SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        # People see our pages about failures, not Django's.
        ({"EMBEDDED": "true"}, {"DEBUG": False, "CELERY_WORKER_POOL": "prefork"}),
        # Over PostgreSQL the processes of a pool share one lock, which a killed one would keep for good.
        ({"REDIS_URL": ""}, {"CELERY_WORKER_POOL": "threads"}),
        # Kombu would believe any certificate.
        (
            {"REDIS_URL": "rediss://:p@redis.example/1"},
            {"CELERY_BROKER_URL": "rediss://:p@redis.example/1?ssl_cert_reqs=required"},
        ),
        (
            {"CELERY_BROKER_URL": "rediss://redis.example?health_check_interval=5"},
            {"CELERY_BROKER_URL": "rediss://redis.example?health_check_interval=5&ssl_cert_reqs=required"},
        ),
        (
            {"REDIS_URL": "rediss://redis.example?ssl_cert_reqs=none"},
            {"CELERY_BROKER_URL": "rediss://redis.example?ssl_cert_reqs=none"},
        ),
        ({"SITE_URL": "http://npd.example/"}, dict.fromkeys(SECURED, False) | {"SECURE_HSTS_SECONDS": 0}),
        (
            {"SITE_URL": "https://npd.example/", "TRUSTED_PROXIES": "2"},
            dict.fromkeys(SECURED, True)
            | {"SECURE_HSTS_SECONDS": 31_536_000, "ALLOWED_HOSTS": ["npd.example", "localhost", "127.0.0.1", "[::1]"]}
            | {"SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"], "ALLAUTH_TRUSTED_PROXY_COUNT": 2},
        ),
        (
            {"SITE_URL": "https://npd.example/"},
            {"SECURE_PROXY_SSL_HEADER": None, "USE_X_FORWARDED_HOST": False, "SECURE_SSL_REDIRECT": False},
        ),
        (
            {"SITE_URL": "https://[2001:db8::1]:8443"},
            {"ALLOWED_HOSTS": ["[2001:db8::1]", "localhost", "127.0.0.1", "[::1]"]},
        ),
        (
            {"ENCRYPTION_KEY": "new, old", "EMAIL_URL": "smtp+ssl://npd%40x.org:p%24@smtp.x.org"},
            {
                "ENCRYPTION_KEYS": ["new", "old", KEY],
                "EMAIL_HOST": "smtp.x.org",
                "EMAIL_HOST_PASSWORD": "p$",
                "EMAIL_USE_SSL": True,
            },
        ),
    ],
    ids=[
        "embedded",
        "no redis",
        "TLS",
        "TLS with options",
        "unchecked TLS",
        "http",
        "https behind proxies",
        "no proxy is believed",
        "an address for a name",
        "keys and email",
    ],
)
def test_settings_follow_what_is_set(env: dict[str, str], expected: dict[str, object]) -> None:
    assert settings_of(*expected, **env) == expected


@pytest.mark.parametrize(
    ("query", "is_pooled"),
    [("", False), ("?prepare_threshold=5", False), ("?sslmode=prefer&prepare_threshold=off", True)],
)
def test_behind_a_pooler_no_cursor_outlives_its_statement(query: str, is_pooled: bool) -> None:
    databases: Any = settings_of("DATABASES", DATABASE_URL=SERVERS["DATABASE_URL"] + query)["DATABASES"]
    assert databases["default"]["DISABLE_SERVER_SIDE_CURSORS"] is is_pooled


def manage(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run_command(sys.executable, "manage.py", *arguments, env={**BARE, **env})


def web(**env: str) -> subprocess.CompletedProcess[str]:
    """Run the Procfile's web process, which has to end by itself."""
    # One worker: if two fail at the same moment, gunicorn itself ends with a traceback.
    return run_command(
        *command_of("web"), env={**BARE, "PORT": str(free_port()), "WEB_CONCURRENCY": "1", **env}, timeout=120
    )


def test_web_without_a_database_does_not_start() -> None:
    result = web(SECRET_KEY=KEY, REDIS_URL=SERVERS["REDIS_URL"])
    assert result.returncode != 0
    assert environment.NO_DATABASE_MESSAGE in result.stderr
    assert "Traceback" not in result.stderr


def test_a_server_without_secret_key_is_told_how_to_make_one() -> None:
    short = SERVERS | {"SECRET_KEY": KEY[1:]}
    for result in (manage("check", **SERVERS), web(**SERVERS), manage("check", **short)):
        assert result.returncode != 0
        assert "Settings: set SECRET_KEY to a long random text" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_misspelt_variable_is_named_with_the_one_that_it_may_mean() -> None:
    names = {"MONDAY_WEBHOK_TOKEN": "sesame", "secret_key_file": "sesame", "SENTRY_RELEASE": "1", "EDITOR": "vi"}
    result = manage("check", **SERVERS, SECRET_KEY=KEY, **names)
    assert "MONDAY_WEBHOK_TOKEN is set, but nothing reads it. Is it MONDAY_WEBHOOK_TOKEN?" in result.stderr
    assert "secret_key_file is set, but nothing reads it. Is it SECRET_KEY_FILE?" in result.stderr
    assert result.stderr.count("is set, but") == 2
    assert "sesame" not in result.stderr
    assert result.returncode == 0


def test_traces_are_shown_to_nobody_whom_a_proxy_lets_in() -> None:
    result = manage("check", **SERVERS, SECRET_KEY=KEY, DEBUG="true", TRUSTED_PROXIES="1")
    assert result.returncode == 1
    assert result.stderr.startswith("Settings: DEBUG shows traces")
    assert '--bind "127.0.0.1:' in (ROOT / "Procfile").read_text(), "without a proxy, this machine alone"


def test_a_database_that_cannot_be_reached_is_a_sentence_without_its_password() -> None:
    url = "postgresql://ada:open%20sesame@127.0.0.1:1/none"
    result = manage("showmigrations", **SERVERS | {"DATABASE_URL": url, "SECRET_KEY": KEY})
    assert result.returncode == 1
    assert result.stderr.startswith("The database can't be reached: ")
    assert "refused" in result.stderr
    assert "Is it running?" in result.stderr
    assert "sesame" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.django_db
def test_a_failure_of_a_database_that_answers_keeps_its_trace() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1")
        with pytest.raises(OperationalError) as failure:
            cursor.execute("SELECT pg_sleep(5)")
    assert environment.unreachable_message(failure.value) == ""


def test_a_command_of_a_python_without_the_packages_names_the_one_that_has_them() -> None:
    end = run_command(sys.executable, "-S", "manage.py", "check")
    assert end.returncode == 1
    assert ".venv/bin/python manage.py check" in end.stderr
    assert "Traceback" not in end.stderr

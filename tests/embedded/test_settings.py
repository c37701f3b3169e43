import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.test import Client

from config import environment
from config.web import options
from tests.support.servers import NOT_FOR_TESTS, ROOT

BARE = {
    name: value for name, value in os.environ.items() if not name.startswith((*NOT_FOR_TESTS, "SECRET_KEY"))
}
SERVERS = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}


def settings_of(*names: str, **env: str) -> dict[str, object]:
    """Settings as a fresh process reads them."""
    code = (
        "import json, django.conf as c; s = c.settings;"
        f"print(json.dumps({{n: getattr(s, n) for n in {names!r}}}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**BARE, **SERVERS, "SECRET_KEY": "k", "DJANGO_SETTINGS_MODULE": "config.settings", **env},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(result.stdout)
    return found


def manage(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**BARE, **env}, capture_output=True, text=True, check=False)


def test_a_server_without_secret_key_is_told_how_to_make_one() -> None:
    result = manage("check", **SERVERS)
    assert result.returncode == 1
    assert result.stderr.startswith("Settings: set SECRET_KEY to a long random text")


def test_a_database_that_cannot_be_reached_is_a_sentence_without_its_password() -> None:
    url = "postgresql://ada:open%20sesame@127.0.0.1:1/none"
    result = manage("showmigrations", **SERVERS | {"DATABASE_URL": url, "SECRET_KEY": "k"})
    assert result.returncode == 1
    assert result.stderr.startswith("The database at 127.0.0.1:1/none can't be reached: ")
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
    assert environment.unreachable(failure.value) == ""


def test_without_any_broker_the_sentence_names_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match=r"^set REDIS_URL"):
        environment.broker_url("postgresql://u@h/d")


def test_without_redis_the_broker_is_the_database_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    url = environment.broker_url("postgresql://postgres@/npd?host=/tmp/npd-1")
    assert url == "sqla+postgresql+psycopg://postgres@/npd?host=/tmp/npd-1"


def test_the_brokers_own_variable_comes_before_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://one/0")
    monkeypatch.setenv("REDIS_URL", "redis://two/0")
    assert environment.broker_url("") == "redis://one/0"


@pytest.mark.parametrize("url", ["http://npd.example", "https://npd.example"])
def test_only_https_switches_on_redirect_hsts_and_secure_cookies(url: str) -> None:
    names = ("SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    found = settings_of(*names, SITE_URL=url)
    assert {bool(value) for value in found.values()} == {url.startswith("https")}


def test_allowed_hosts_follow_site_url() -> None:
    assert "npd.example" in settings_of("ALLOWED_HOSTS", SITE_URL="https://npd.example/")["ALLOWED_HOSTS"]  # type: ignore[operator]


def test_an_empty_variable_is_as_good_as_none() -> None:
    names = ("MONDAY_API_URL", "MONDAY_API_VERSION", "SITE_URL")
    found = settings_of(*names, MONDAY_API_URL="", MONDAY_API_VERSION="", SITE_URL="")
    assert found == {
        "MONDAY_API_URL": "https://api.monday.com/v2",
        "MONDAY_API_VERSION": "2026-10",
        "SITE_URL": "http://127.0.0.1:8000",
    }


def test_a_dotenv_file_fills_what_the_shell_leaves_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CRON_SECRET=from-file\nSITE_URL=http://from-file\n")
    monkeypatch.setenv("SITE_URL", "http://from-shell")
    monkeypatch.delenv("CRON_SECRET")
    environment.load(run_file=tmp_path / "none", dotenv=tmp_path / ".env")
    assert (os.environ["CRON_SECRET"], os.environ["SITE_URL"]) == ("from-file", "http://from-shell")


def test_a_second_terminal_meets_the_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"DATABASE_URL": "postgresql:///running", "CRON_SECRET": "of-the-run"}
    (tmp_path / "run.json").write_text(json.dumps(told))
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("CRON_SECRET")
    environment.load(run_file=tmp_path / "run.json", dotenv=tmp_path / "none")
    assert {name: os.environ[name] for name in told} == told


def test_a_database_of_ones_own_keeps_a_running_demo_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.json").write_text(
        '{"DATABASE_URL": "postgresql:///running", "CRON_SECRET": "of-the-run"}'
    )
    monkeypatch.setenv("DATABASE_URL", "postgresql:///own")
    monkeypatch.delenv("CRON_SECRET")
    environment.load(run_file=tmp_path / "run.json", dotenv=tmp_path / "none")
    assert "CRON_SECRET" not in os.environ


def test_forwarded_headers_are_believed_behind_https_only() -> None:
    assert "trusted_proxy" not in options("127.0.0.1", 8000, behind_proxy=False)
    assert "x-forwarded-proto" in options("0.0.0.0", 8000, behind_proxy=True)["trusted_proxy_headers"]


def test_every_answer_carries_the_content_security_policy(client: Client) -> None:
    policy = client.get("/healthz").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src 'self' 'unsafe-eval'" in policy

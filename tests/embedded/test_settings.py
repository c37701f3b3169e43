import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from config import environment
from config.environment import SECRETS
from tests.support.child import command_of
from tests.support.servers import NOT_FOR_TESTS, ROOT, free_port, ran

pytestmark = pytest.mark.processes

BARE = {name: value for name, value in os.environ.items() if not name.startswith((*NOT_FOR_TESTS, "SECRET_KEY"))}
KEY = "k" * 32
SERVERS = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}


def settings_of(*names: str, **env: str) -> dict[str, object]:
    """Settings as a fresh process reads them."""
    code = f"import json, django.conf as c; s = c.settings;print(json.dumps({{n: getattr(s, n) for n in {names!r}}}))"
    given = {**BARE, **SERVERS, "SECRET_KEY": KEY, "DJANGO_SETTINGS_MODULE": "config.settings", **env}
    found: dict[str, object] = json.loads(ran(sys.executable, "-c", code, env=given, check=True).stdout)
    return found


SECURED = ("SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"EMBEDDED": "true"}, {"DEBUG": False}),  # pages about failures are for people
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
            dict.fromkeys(("MONDAY_API_URL", "MONDAY_API_VERSION", "SITE_URL"), ""),
            {
                "MONDAY_API_URL": "https://api.monday.com/v2",
                "MONDAY_API_VERSION": "2026-10",
                "SITE_URL": "http://127.0.0.1:8000",
            },
        ),
    ],
    ids=["embedded", "http", "https behind proxies", "no proxy is believed", "empty is as good as none"],
)
def test_settings_follow_what_is_set(env: dict[str, str], expected: dict[str, object]) -> None:
    assert settings_of(*expected, **env) == expected


def manage(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return ran(sys.executable, "manage.py", *arguments, env={**BARE, **env})


def web(folder: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """The Procfile's web process, which has to end by itself."""
    given = {**BARE, "PORT": str(free_port()), **env}
    return ran(*command_of("web"), cwd=folder, env=given, timeout=60)


def test_web_without_a_database_does_not_start() -> None:
    result = web(SECRET_KEY=KEY, REDIS_URL=SERVERS["REDIS_URL"])
    assert result.returncode != 0
    assert environment.NO_SERVER in result.stderr
    assert "Traceback" not in result.stderr


def test_a_server_without_secret_key_is_told_how_to_make_one() -> None:
    short = SERVERS | {"SECRET_KEY": KEY[1:]}
    for result in (manage("check", **SERVERS), web(**SERVERS), manage("check", **short)):
        assert result.returncode != 0
        assert "Settings: set SECRET_KEY to a long random text" in result.stderr
        assert "Traceback" not in result.stderr


def test_traces_are_shown_to_nobody_whom_a_proxy_lets_in() -> None:
    result = manage("check", **SERVERS, SECRET_KEY=KEY, DEBUG="true", TRUSTED_PROXIES="1")
    assert result.returncode == 1
    assert result.stderr.startswith("Settings: DEBUG shows traces")
    assert '--bind "127.0.0.1:' in (ROOT / "Procfile").read_text(), "without a proxy, this machine alone"


def test_web_without_its_static_files_says_how_to_collect_them(tmp_path: Path) -> None:
    """Every page would be a 500. In a folder of its own: this one's files may have been collected."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    env = {"PYTHONPATH": str(ROOT), "SECRET_KEY": KEY, "STATIC_MANIFEST": "true"}
    result = web(folder=tmp_path, **SERVERS, **env)
    assert result.returncode != 0
    assert "python manage.py collectstatic" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_database_that_cannot_be_reached_is_a_sentence_without_its_password() -> None:
    url = "postgresql://ada:open%20sesame@127.0.0.1:1/none"
    result = manage("showmigrations", **SERVERS | {"DATABASE_URL": url, "SECRET_KEY": KEY})
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
    assert environment.unreachable_message(failure.value) == ""


def test_without_any_broker_the_sentence_names_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match=r"^set REDIS_URL"):
        environment.broker_url("postgresql://u@h/d")


def test_a_dotenv_file_fills_what_the_shell_leaves_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CRON_SECRET=from-file\nSITE_URL=http://from-file\n")
    monkeypatch.setenv("SITE_URL", "http://from-shell")
    monkeypatch.delenv("CRON_SECRET")
    environment.load(run_file=tmp_path / "none", dotenv=tmp_path / ".env")
    assert (os.environ["CRON_SECRET"], os.environ["SITE_URL"]) == ("from-file", "http://from-shell")


HARD = "p@ss/w:o#r%d?&$[x]"


def test_each_secret_may_come_from_a_file(tmp_path: Path) -> None:
    said = {name: f"${name.lower()}-of-a-file-of-its-own-alone" for name in SECRETS if name != "DATABASE_PASSWORD"} | {
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/of_a_file",
        "DATABASE_PASSWORD": HARD,
        "REDIS_URL": "redis://:of-a-file@127.0.0.1:1/0",
        "CELERY_BROKER_URL": "redis://:of-a-file@127.0.0.1:2/0",
    }
    for name, value in said.items():
        (tmp_path / name).write_text(value + "\n")
    files = {f"{name}_FILE": str(tmp_path / name) for name in said}
    plain = [
        name for name in said if name not in ("DATABASE_URL", "DATABASE_PASSWORD", "REDIS_URL", "OIDC_CLIENT_SECRET")
    ]
    without = dict.fromkeys((*SERVERS, "SECRET_KEY"), "") | {"OIDC_SERVER_URL": "https://sign-in.example"}
    found = settings_of(*plain, "DATABASES", "SECRET_TEXTS", "SOCIALACCOUNT_PROVIDERS", **without, **files)
    assert {name: found[name] for name in plain} == {name: said[name] for name in plain}
    database = found["DATABASES"]["default"]  # type: ignore[index]
    assert (database["NAME"], database["PASSWORD"]) == ("of_a_file", HARD)
    (provider,) = found["SOCIALACCOUNT_PROVIDERS"]["openid_connect"]["APPS"]  # type: ignore[index]
    assert provider["secret"] == said["OIDC_CLIENT_SECRET"]
    assert {HARD, provider["secret"]} <= set(found["SECRET_TEXTS"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("named", "broker"),
    [
        ({}, "sqla+postgresql+psycopg://postgres@/npd?host=/tmp/npd-1"),
        ({"REDIS_URL": "redis://two/0"}, "redis://two/0"),
        ({"REDIS_URL": "redis://two/0", "CELERY_BROKER_URL": "redis://one/0"}, "redis://one/0"),
    ],
)
def test_the_broker_is_the_one_that_is_named_else_the_database_itself(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, str], broker: str
) -> None:
    for name in ("CELERY_BROKER_URL", "REDIS_URL"):
        monkeypatch.setenv(name, named.get(name, ""))
    assert environment.broker_url("postgresql://postgres@/npd?host=/tmp/npd-1") == broker


@pytest.mark.parametrize("own", ["", "postgresql:///own"])
def test_a_second_terminal_meets_the_running_server_unless_it_names_a_database_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    told = {"DATABASE_URL": "postgresql:///running", "CRON_SECRET": "of-the-run"}
    (tmp_path / "run.json").write_text(json.dumps(told))
    monkeypatch.setenv("DATABASE_URL", own)
    monkeypatch.setenv("CRON_SECRET", "")
    environment.load(run_file=tmp_path / "run.json", dotenv=tmp_path / "none")
    assert {name: os.environ[name] for name in told} == ({"DATABASE_URL": own, "CRON_SECRET": ""} if own else told)


@pytest.fixture
def shell() -> Iterator[None]:
    """The environment without a secret; the test may do with it what it likes."""
    before = dict(os.environ)
    for name in set(before) - set(BARE):
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def own_words(tmp_path: Path) -> None:
    environment.load(run_file=tmp_path / "none", dotenv=tmp_path / ".env")


@pytest.mark.parametrize("url", ["postgresql://u@h:5/d", "postgresql://u@/d?host=/tmp/s", "postgresql://u:@h/d"])
def test_a_password_of_any_characters_reaches_driver_and_broker(tmp_path: Path, shell: None, url: str) -> None:
    os.environ |= {"DATABASE_URL": url, "DATABASE_PASSWORD": HARD}
    own_words(tmp_path)
    broker = environment.broker_url(environment.database_url())
    assert conninfo_to_dict(environment.database_url())["password"] == HARD
    assert make_url(broker).password == HARD
    assert make_url(broker).username == "u"


@pytest.mark.parametrize(
    ("content", "beside"),
    [(None, ""), (b"", ""), (b" \n", ""), (b"sesame\nsecond\n", ""), (b"sesame\xff\xfe", ""), (b"sesame\n", "another")],
    ids=["missing", "empty", "blank", "two lines", "no text", "two values"],
)
def test_a_secrets_file_that_can_not_be_meant_ends_the_start_without_telling_it(
    tmp_path: Path, shell: None, content: bytes | None, beside: str
) -> None:
    file = tmp_path / "sesame-as-somebody-put-it-into-the-wrong-variable"
    if content is not None:
        file.write_bytes(content)
    os.environ |= {"CRON_SECRET_FILE": str(file), "CRON_SECRET": beside}
    with pytest.raises(ImproperlyConfigured, match="CRON_SECRET_FILE") as refusal:
        own_words(tmp_path)
    assert not re.search("sesame|another", str(refusal.value))
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("url", ["", "postgresql://u:another@h/d"])
def test_a_password_without_its_database_or_beside_another_password_ends_the_start(
    tmp_path: Path, shell: None, url: str
) -> None:
    os.environ |= {"DATABASE_URL": url, "DATABASE_PASSWORD": "sesame"}
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_PASSWORD .*DATABASE_URL") as refusal:
        own_words(tmp_path)
    assert not re.search("sesame|another", str(refusal.value))


def test_a_secret_that_changes_under_a_run_changes_nothing_for_its_later_children(tmp_path: Path, shell: None) -> None:
    (tmp_path / ".env").write_text(f"CRON_SECRET_FILE={tmp_path}/secret\nCRON_SECRET=one\n")
    for said in ("one", "two"):
        (tmp_path / "secret").write_text(said)
        own_words(tmp_path)
    assert os.environ["CRON_SECRET"] == "one"


def test_a_start_with_a_wrong_file_is_one_sentence() -> None:
    result = manage("check", **SERVERS, SECRET_KEY_FILE="/nonexistent")
    assert result.returncode == 1
    assert result.stderr.startswith("Settings: the file that SECRET_KEY_FILE names can't be read")
    assert "Traceback" not in result.stderr


def test_dbshell_without_a_database_is_the_sentence_that_names_make_run(tmp_path: Path) -> None:
    result = manage("dbshell", PATH=str(tmp_path))
    assert (result.returncode, result.stderr.strip()) == (1, environment.NO_SERVER)


def test_the_key_of_what_is_encrypted_is_one_of_its_own_or_the_secret_key_and_older_ones_open_too() -> None:
    assert settings_of("ENCRYPTION_KEYS") == {"ENCRYPTION_KEYS": [KEY]}
    keys = {"ENCRYPTION_KEY": "new", "ENCRYPTION_KEY_FALLBACKS": "old, older"}
    assert settings_of("ENCRYPTION_KEYS", **keys) == {"ENCRYPTION_KEYS": ["new", "old", "older", KEY]}
    found = settings_of("SECRET_TEXTS", **keys)["SECRET_TEXTS"]
    assert {"new", "old", "older"} <= set(found)  # type: ignore[call-overload]


def test_a_command_of_a_python_without_the_packages_names_the_one_that_has_them() -> None:
    end = ran(sys.executable, "-S", "manage.py", "check")
    assert end.returncode == 1
    assert ".venv/bin/python manage.py check" in end.stderr
    assert "Traceback" not in end.stderr

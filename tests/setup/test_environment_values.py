"""Values of the environment: a wrong variable is named in one sentence, and no secret is shown."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from config import environment
from config.environment import SECRETS, VARIABLES, Environment, Values
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt, reencrypt
from tests.support.servers import NOT_FOR_TESTS

WRONG = [
    ("DATABASE_URL", "postgresql://u:SEC#RET/PW@127.0.0.1:1/db"),
    ("CELERY_BROKER_URL", "SECRET"),
    ("MONDAY_API_KEY", "SECRÉT"),
    ("DATABASE_URL", "mysql://u:SECRET@h/d"),
    ("REDIS_URL", "redis://u:SECRET"),
    ("SANDBOX_PORT", "65536"),
    ("TRUSTED_PROXIES", "-1"),
    ("SYNC_GUARD_RECORDS", "1.5"),
    ("MONDAY_TIMEOUT_SECONDS", "0"),
    ("CRON_SECRET", "SECRET"),
    ("METRICS_TOKEN", "SECRÉT-of-23-characters"),
    ("MONDAY_WEBHOOK_TOKEN", "as base64 writes it: SEC/RET+"),
    ("MONDAY_SETTLE_SECONDS", "nan"),
    ("NEW_ITEM_WAIT_SECONDS", "5 min"),
    ("NEW_ITEM_WAIT_SECONDS", "99999999999999"),
    ("MONDAY_TIMEOUT_SECONDS", "99999999999999"),
    ("DEBUG", "ture"),
    ("SITE_URL", "npd.example.org"),
    ("SITE_URL", "https://npd.example.org/SECRET"),
    ("SITE_URL", "https://npd.example.org?SECRET"),
    ("SITE_URL", "https://npd:SECRET@npd.example.org"),
    ("SITE_URL", "https://sécret.example.org"),
    ("SITE_URL", "https://npd_x.example.org"),
    ("ALLOWED_HOSTS", "npd.example.org, https://SECRET.example.org"),
    ("ALLOWED_HOSTS", "npd.example.org:8000"),
    ("ALLOWED_HOSTS", "npd.example.org www.example.org"),
    ("SENTRY_DSN", "SECRET@sentry.example.org"),
    ("API_THROTTLE", "many"),
    ("SYNC_NOW_THROTTLE", "0/min"),
    ("EMAIL_URL", "smtp+tls://u:SEC/RET@h"),
]
RIGHT = [
    ("DATABASE_URL", environment.UNREACHABLE_URL, environment.UNREACHABLE_URL),
    ("DATABASE_URL", "postgres://u:p%23%2F@[::1]:5432/db?sslmode=require", None),
    ("CELERY_BROKER_URL", "memory://", None),
    ("EMAIL_URL", "smtp+tls://npd%40x.org:p@smtp.x.org:587", None),
    ("MONDAY_TIMEOUT_SECONDS", "2.5", 2.5),
    ("MONDAY_WEBHOOK_TOKEN", "q9Ij-_+kTz0pWx.~6Q==", None),
    ("SITE_URL", "http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
    ("SITE_URL", "https://[2001:db8::1]:8443", None),
    (
        "ALLOWED_HOSTS",
        "npd.example.org,.example.com, [2001:db8::1],",
        ["npd.example.org", ".example.com", "[2001:db8::1]"],
    ),
    ("ALLOWED_HOSTS", "*", ["*"]),
    ("DEBUG", "False", False),
    ("REQUIRE_TWO_FACTOR", "On", True),
    ("ENCRYPTION_KEY", "new, old", ["new", "old"]),
    ("SECRET_KEY", "$begins-with-what-means-another-variable", None),
    ("PORT", "", 8000),  # docker-compose.yml passes unset variables as empty texts
]


def reading(**values: str) -> Environment:
    environment = Environment(**VARIABLES)
    environment.ENVIRON = Values(values, cache=False)
    return environment


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_can_not_be_meant_is_named_with_what_to_write_and_no_secret(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        reading(**{name: value})(name)
    sentence = str(refusal.value)
    assert sentence.startswith(f"{name} must be ")
    assert not re.search("SEC|RET", sentence.removeprefix(name))
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(("name", "value", "expected"), RIGHT)
def test_what_may_be_meant_is_taken(name: str, value: str, expected: object) -> None:
    assert reading(**{name: value})(name) == (value if expected is None else expected)


@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_may_come_from_a_file_without_its_lines_end(tmp_path: Path, name: str) -> None:
    text = "$p@ss:w%d-of-a-file" if not name.endswith("_URL") else "redis://:of-a-file@127.0.0.1:1/0"
    text = {"DATABASE_URL": "postgresql://u:p%40@h/d", "EMAIL_URL": "smtp://:p@h"}.get(name, text)
    (tmp_path / "secret").write_text(f"{text}\n")
    variables = {f"{name}_FILE": str(tmp_path / "secret"), name: "of the variable"}
    assert reading(**variables).str(name) == text


def test_the_mark_of_an_editor_before_a_files_secret_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of-a-file # 1\r\n", "utf-8-sig")
    assert reading(CRON_SECRET_FILE=str(tmp_path / "secret"))("CRON_SECRET") == "of-a-file # 1"


NOT_UTF_8 = [
    "CRON_SECRET=sesame-ü".encode("utf-16"), "CRON_SECRET=sesame".encode("utf-16-le"),
    "CRON_SECRET=sesame-ü".encode("latin-1"),
]  # fmt: skip


@pytest.mark.parametrize("content", [None, *NOT_UTF_8])
def test_a_senseless_secrets_file_is_told_without_its_path(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "sesame-as-somebody-put-it-into-the-wrong-variable"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match="CRON_SECRET_FILE names can't be read") as refusal:
        reading(CRON_SECRET_FILE=str(file))("CRON_SECRET")
    assert "sesame" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.fixture
def shell() -> Iterator[None]:
    """The environment without our variables; it is restored afterwards."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(NOT_FOR_TESTS):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def test_a_dotenv_file_fills_what_the_shell_leaves_open(tmp_path: Path, shell: None) -> None:
    (tmp_path / ".env").write_text("CRON_SECRET=from-file\nSITE_URL=http://from-file\n")
    os.environ["SITE_URL"] = "http://from-shell"
    environment.load(run_file=tmp_path / "none", dotenv=tmp_path / ".env")
    assert (os.environ["CRON_SECRET"], os.environ["SITE_URL"]) == ("from-file", "http://from-shell")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("CRON_SECRET=abc#def$g", "abc#def$g"),
        ("  export\tCRON_SECRET = abc def\t# a comment ", "abc def"),
        ("CRON_SECRET='a # b' # it's mine", "a # b"),
        ("CRON_SECRET='it's'", "it's"),
        (r'CRON_SECRET = "a\"b # c" # "why"', 'a"b # c'),
        ('CRON_SECRET="NPD" <a@b.example>', '"NPD" <a@b.example>'),
        ("CRON_SECRET=#abc", "#abc"),
        ("CRON_SECRET= # none", ""),
        ("# CRON_SECRET=no\n\n \t# nor this", None),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_line_of_a_dotenv_file_is_read_as_people_mean_it(
    tmp_path: Path, shell: None, line: str, value: str | None, encoding: str
) -> None:
    (tmp_path / ".env").write_text(f"{line}\r\nMONDAY_API_KEY=k", encoding)
    environment.read_dotenv(tmp_path / ".env")
    assert (os.environ.get("CRON_SECRET"), os.environ["MONDAY_API_KEY"]) == (value, "k")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("CRON_SECRET: sesame", "CRON_SECRET"),
        ("CRON_SECRET SESAME=", "CRON_SECRET"),
        ("CRON_SECRET_FILE sesame", "CRON_SECRET_FILE"),
        ('export MINE = "sesame', "MINE"),
        ('CRON_SECRET="abc\nsesame="', "CRON_SECRET"),
        ("- CRON_SECRET=sesame", ""),
        ("SESAME", ""),
        ("SESAME: open", ""),
    ],
)
def test_a_line_of_a_dotenv_file_that_is_not_understood_is_told_by_number_and_name_alone(
    tmp_path: Path, shell: None, capsys: pytest.CaptureFixture[str], line: str, name: str
) -> None:
    (tmp_path / ".env").write_text(f"SITE_URL=http://a\n{line}\n")
    with pytest.raises(ImproperlyConfigured, match=rf"line 2{f' .{name}.' if name else ''}(, line 3)? of ") as refusal:
        environment.load(run_file=tmp_path / "none", dotenv=tmp_path / ".env")
    assert "sesame" not in f"{refusal.value}{capsys.readouterr()}".lower()


@pytest.mark.parametrize("content", NOT_UTF_8)
def test_a_dotenv_file_of_another_encoding_is_named_in_words(tmp_path: Path, shell: None, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=r"\.env can't be read: save it as UTF-8") as refusal:
        environment.load(run_file=tmp_path / "none", dotenv=tmp_path / ".env")
    assert "sesame" not in str(refusal.value)
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("own", ["", "postgresql:///own"])
def test_a_second_terminal_meets_the_running_server_unless_told_else(tmp_path: Path, shell: None, own: str) -> None:
    running = {"DATABASE_URL": "postgresql:///running", "CRON_SECRET": "of-the-run"}
    (tmp_path / "run.json").write_text(json.dumps(running))
    os.environ |= {"DATABASE_URL": own, "CRON_SECRET": ""}
    environment.load(run_file=tmp_path / "run.json", dotenv=tmp_path / "none")
    expected = {"DATABASE_URL": own, "CRON_SECRET": ""} if own else running
    assert {name: os.environ[name] for name in running} == expected


@pytest.mark.parametrize("server", ["h:5/d", "/d?host=/tmp/s", "h/d"])
def test_a_quoted_password_of_any_characters_reaches_driver_and_broker(shell: None, server: str) -> None:
    os.environ["DATABASE_URL"] = f"postgresql://u:p%40ss%2Fw%3Ao%23r%25d%3F%26%24%5Bx%5D@{server}"
    password = "p@ss/w:o#r%d?&$[x]"
    assert conninfo_to_dict(environment.database_url())["password"] == password
    broker = make_url(environment.broker_url(environment.database_url()))
    assert (broker.username, broker.password) == ("u", password)
    assert password in set(environment.secret_texts())


@pytest.mark.parametrize(
    ("named", "broker"),
    [
        ({}, "sqla+postgresql+psycopg://postgres@/npd?host=/tmp/npd-1"),
        ({"REDIS_URL": "redis://two/0"}, "redis://two/0"),
        ({"REDIS_URL": "redis://two/0", "CELERY_BROKER_URL": "redis://one/0"}, "redis://one/0"),
    ],
)
def test_the_broker_is_the_named_one_or_the_database(shell: None, named: dict[str, str], broker: str) -> None:
    os.environ |= named
    assert environment.broker_url("postgresql://postgres@/npd?host=/tmp/npd-1") == broker


OLD, NEW = "an-old-key-0123456789", "a-new-key-0123456789"


@settings_of_hypothesis(max_examples=20)
@given(st.text())
def test_what_is_encrypted_comes_back_and_is_never_stored_twice_the_same(text: str) -> None:
    first, second = encrypt(text), encrypt(text)
    assert decrypt(first) == decrypt(second) == text
    assert first != second
    assert len(text) < 4 or text not in first


def test_an_older_key_still_opens_and_the_first_one_encrypts(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    stored = encrypt("text")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert decrypt(stored) == "text"
    anew = reencrypt(stored)
    assert anew is not None
    assert reencrypt(anew) is None
    settings.ENCRYPTION_KEYS = [NEW]
    assert decrypt(anew) == "text"
    assert reencrypt(stored) is None


@pytest.mark.parametrize("stored", ["", "no cipher", "gAAAA", "ключ"])
def test_what_no_key_opens_is_said_so(settings: Any, stored: str) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    mine = encrypt("text")
    settings.ENCRYPTION_KEYS = [NEW]
    for text in (stored, mine, mine[:-4] + "AAA="):
        with pytest.raises(KeyChanged):
            decrypt(text)


def test_the_same_key_is_another_one_for_everything_else_that_is_made_of_it(settings: Any) -> None:
    """A signature or session made by SECRET_KEY gives no key to encrypted data."""
    from base64 import urlsafe_b64encode
    from hashlib import sha256

    from cryptography.fernet import Fernet, InvalidToken

    settings.ENCRYPTION_KEYS = [OLD]
    with pytest.raises(InvalidToken):
        Fernet(urlsafe_b64encode(sha256(OLD.encode()).digest())).decrypt(encrypt("text").encode())

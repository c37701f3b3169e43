import json
import logging
import logging.config

import pytest
import structlog

from config.logs import SecretlessFormatter, logging_config, shared_processors
from sync.kernel.secret_texts import HIDDEN, Redactor

SECRET = "s3cret-value"


@pytest.mark.parametrize(
    "line",
    [
        f"calling with {SECRET}",
        "{'Authorization': 's3cret'}",
        '{"api_key": "s3cret"}',
        "POST /webhooks/monday/s3cret/ 200",
        "GET /set-password/MTI/s3cret/ 200",
        "postgresql://user:s3cret@host/db",
        "PUT /upload?X-Amz-Credential=s3cret%2F20261120&X-Amz-Signature=s3cret HTTP/1.1 200",
        'sent {"password": "s3cret-0123", "x": 1}',
        'the header "Authorization: Bearer s3cret-0123"',
        'asked "http://host/x?token=s3cret-0123" again',
        "refused:\neyJhbGciOiJIUzI1NiJ9.eyJzM2NyZXQiOjF9.s3cret-0123",
    ],
)
def test_a_secret_of_a_known_value_or_shape_is_hidden_and_the_line_stays_json(line: str) -> None:
    event = json.loads(as_json(line, secrets=(SECRET,)))["event"]
    assert "s3cret" not in event
    assert HIDDEN in event
    assert event.count('"') == line.count('"')


@pytest.mark.parametrize(
    "line",
    [
        "contact 12: looked, 3 fields, /webhooks/monday/ answered 200 at http://127.0.0.1:8000/",
        "It takes no bearer certificate.",
        "GET /items?page=2&key_by=name",
    ],
)
def test_ordinary_text_stays_as_it_is(line: str) -> None:
    assert Redactor([SECRET, ""])(line) == line


def formatter_that_hides(*secrets: str) -> SecretlessFormatter:
    return SecretlessFormatter(
        redact=Redactor(secrets), processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared_processors()
    )


def as_json(text: str, *arguments: object, secrets: tuple[str, ...] = ()) -> str:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, text, arguments, None)
    return formatter_that_hides(*secrets).format(record)


def test_a_secret_in_a_traceback_is_hidden() -> None:
    try:
        raise ValueError(f"no such key: {SECRET}")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed %s", ("once",), info)
    line = formatter_that_hides(SECRET).format(record)
    assert "failed once" in line
    assert "ValueError" in line
    assert SECRET not in line


@pytest.mark.parametrize("secret", ['pa"ss\\word1', "ключ-секрет", 'it\'s"both"', "a\ttab-and-more"])
@pytest.mark.parametrize("placeholder", ["%s", "%r"])
def test_a_known_secret_is_hidden_however_a_line_has_to_write_it(secret: str, placeholder: str) -> None:
    event = json.loads(as_json(f"failed with {placeholder}", secret, secrets=(secret,)))["event"]
    assert event.strip("'\"") in (f"failed with {HIDDEN}", f"failed with '{HIDDEN}", f'failed with "{HIDDEN}')


def test_a_known_secret_is_hidden_as_a_part_of_an_address() -> None:
    assert Redactor(["pass/word+1=="])("GET /v2?key2=pass%2Fword%2B1%3D%3D") == f"GET /v2?key2={HIDDEN}"


def test_a_secret_that_is_met_later_is_hidden_from_then_on() -> None:
    """Such as a stored token, which a process knows once it has decrypted it."""
    secrets = [SECRET]
    configurator = logging.config.DictConfigurator(logging_config("INFO", True, secrets))
    line = configurator.configure_formatter(configurator.config["formatters"]["line"])
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "sent met-only-later-0123", (), None)
    assert "met-only-later-0123" in line.format(record)
    secrets.append("met-only-later-0123")
    assert "met-only-later-0123" not in line.format(record)

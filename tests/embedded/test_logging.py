import logging

import pytest
import structlog

from config.logging import HIDDEN, Redactor, SecretlessFormatter, shared_processors

SECRET = "s3cret-value"


@pytest.mark.parametrize(
    "line",
    [
        f"calling with {SECRET}",
        "Authorization: Bearer s3cret",
        "{'Authorization': 's3cret'}",
        '{"api_key": "s3cret"}',
        "POST /webhooks/monday/s3cret/ 200",
        "postgresql://user:s3cret@host/db",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzM2NyZXQiOjF9.s3cret-signature",
    ],
)
def test_a_secret_in_a_line_is_hidden(line: str) -> None:
    redacted = Redactor([SECRET])(line)
    assert "s3cret" not in redacted
    assert HIDDEN in redacted


def test_ordinary_text_stays_as_it_is() -> None:
    line = "contact 12: looked, 3 fields, /webhooks/monday/ answered 200 at http://127.0.0.1:8000/"
    assert Redactor([SECRET, ""])(line) == line


def test_a_secret_in_a_traceback_is_hidden() -> None:
    formatter = SecretlessFormatter(
        secrets=[SECRET], processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared_processors()
    )
    try:
        raise ValueError(f"no such key: {SECRET}")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed %s", ("once",), info)
    line = formatter.format(record)
    assert "failed once" in line
    assert "ValueError" in line
    assert SECRET not in line

"""What real processes send to Sentry, received by the test's own server."""

import gzip
import json
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from structlog.contextvars import bound_contextvars

from config.logs import scrub, scrubbed_event
from tests.support.servers import run_command
from tests.support.serving import Quiet, local, serving

pytestmark = pytest.mark.processes

PERSON = "ada@example.test"


class _Take(Quiet):
    def reply(self) -> None:
        body = self.body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append(body)  # type: ignore[attr-defined]
        self.answer()


class Receiver:
    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server = server
        self.environment = {
            "SENTRY_DSN": f"http://public@127.0.0.1:{server.server_port}/1",
            "SENTRY_ENVIRONMENT": "drill",
            "SENTRY_RELEASE": "1.2.3",
        }

    def errors(self) -> list[dict[str, Any]]:
        bodies: list[bytes] = list(self.server.bodies)  # type: ignore[attr-defined]
        lines = [json.loads(line) for body in bodies for line in body.splitlines() if line]
        return [line for line in lines if "server_name" in line]

    def everything(self) -> str:
        return " ".join(body.decode(errors="replace") for body in self.server.bodies)  # type: ignore[attr-defined]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(local(_Take)) as server:
        server.bodies = []  # type: ignore[attr-defined]
        yield Receiver(server)


def test_of_a_request_its_method_its_route_and_its_id_leave() -> None:
    request = {"method": "POST", "url": f"/?mail={PERSON}", "data": PERSON, "headers": {"Authorization": "x"}}
    path = "/webhooks/monday/a-webhook-token-that-nobody-may-read/"
    for source, left in (("route", {"transaction": "/webhooks/monday/[secret]/"}), ("url", {})):
        info = {"transaction_info": {"source": source}}
        with bound_contextvars(request_id="4f2a"):
            leaving = scrubbed_event({"request": request, "transaction": path, **info}, {})
        assert leaving == {"request": {"method": "POST"}, "tags": {"request_id": "4f2a"}, **info, **left}


FAILING = """
import logging, structlog, sentry_sdk
from config import wsgi
from django.db import DatabaseError
structlog.get_logger().error("nobody answered", person="{person}", calls=3)
logging.getLogger("a.library").error("%s is unknown", "{person}")
logging.getLogger("a.library").error("{person} was refused")
try:
    raise DatabaseError("duplicate key DETAIL: Key (name)=({person}) exists.") from KeyError("{person}")
except DatabaseError:
    structlog.get_logger().exception("pass failed", person="{person}")
    sentry_sdk.set_user({{"email": "{person}"}})
    sentry_sdk.set_context("record", {{"name": "{person}"}})
    sentry_sdk.set_extra("name", "{person}")
    sentry_sdk.capture_exception(ValueError("{person}"))
sentry_sdk.flush()
"""


def test_of_a_logged_error_its_code_its_kind_and_its_place_leave_and_no_sentence(receiver: Receiver) -> None:
    env = child_environment_without_a_database() | receiver.environment
    run_command(sys.executable, "-c", FAILING.format(person="Ada Lovelace"), env=env, check=True)
    errors = receiver.errors()
    assert [error.get("logentry") for error in errors[:4]] == [
        {"message": "nobody answered"},
        {"message": "a.library"},
        {"message": "a.library"},
        {"message": "pass failed"},
    ]
    kinds = [[cause["type"] for cause in error.get("exception", {}).get("values", [])] for error in errors]
    assert kinds == [[], [], [], ["KeyError", "DatabaseError"], ["ValueError"]]
    assert errors[3]["exception"]["values"][-1]["stacktrace"]["frames"][-1]["lineno"]
    assert "Lovelace" not in receiver.everything()


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("Monday refused “ada.l+x@mail.example.test”.", "Monday refused “[secret]”."),
        ("at /webhooks/monday/abc/ as test-api-key", "at /webhooks/monday/[secret]/ as [secret]"),
        ("Bearer 0123456789", "Bearer [secret]"),
    ],
)
def test_unknown_values_are_left_out_at_any_depth_and_people_and_secrets_of_the_others(text: str, leaves: str) -> None:
    unknown = {"value": text, "vars": {"type": text}, text: [text]}
    event = {"exception": {"values": [unknown, {"type": text, "mechanism": {"handled": True}, **unknown}]}, **unknown}
    scrubbed = {"exception": {"values": [{}, {"type": leaves, "mechanism": {"handled": True}}]}}
    assert scrub(event) == scrubbed


def test_without_its_address_sentry_is_not_imported() -> None:
    code = "import sys; from config import wsgi; print('sentry_sdk' in sys.modules)"
    result = run_command(sys.executable, "-c", code, env=child_environment_without_a_database(), check=True)
    assert result.stdout == "False\n"


def child_environment_without_a_database() -> dict[str, str]:
    from tests.embedded.test_settings import BARE, SERVERS

    return {**BARE, **SERVERS, "SECRET_KEY": "k" * 32}

"""The OpenAPI schema and its page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator

from sync.api.problems import KINDS
from sync.models import EventType
from tests.api.conftest import user_who_may
from tests.support.api_schema import document, raw_document


def test_the_schema_is_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yml"))


BY_LIBRARY = ("BlankEnum", "NullEnum")
VERBS = """
accept answer apply approve assign bulk cancel check compare confirm create delete discard draft export get ignore
import link list pause prepare push
receive reject replace replay
resolve restore resume retry revoke rotate run stop test undo unlink update upsert
""".split()  # noqa: SIM905 - a list of words is easier to read and to add to


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_reads_as_a_method_of_a_client() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names))
    strange = [name for name in names if not re.fullmatch(rf"({'|'.join(VERBS)})(_[a-z]+)+", name)]
    assert strange == []


def test_every_operation_says_what_it_does_and_where_it_belongs() -> None:
    tags = {tag["name"]: tag["description"] for tag in document()["tags"]}
    for place, operation in operations():
        assert 5 <= len(operation["summary"]) <= 60, place
        assert operation["description"], place
        assert [tags[tag] for tag in operation["tags"]], place
    assert document()["openapi"].startswith("3.1")
    assert document()["servers"]


def test_every_body_and_answer_has_an_example_that_fits_its_shape() -> None:
    shapes = document()["components"]
    for place, operation in operations():
        contents = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for part, said in contents.items():
            for media_type, media in said.get("content", {}).items():
                assert media.get("examples"), (place, part)
                validator = Draft202012Validator({**media["schema"], "components": shapes})
                for example in media["examples"].values():
                    if media_type == "multipart/form-data":
                        continue
                    found = [f"{one.json_path} {one.message}" for one in validator.iter_errors(example["value"])]
                    assert found == [], (place, part)


def test_the_example_of_an_error_is_a_problem_that_the_operation_can_have() -> None:
    for place, operation in operations():
        for status, answer in operation["responses"].items():
            problems = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
            assert problems or int(status) < 400 or "/readyz" in place, (place, status)
            assert {KINDS[code].status for code in problems} <= {int(status)}, (place, status)


def test_no_value_is_one_of_anything_and_something_else() -> None:
    """Of both at once it would be none, as null beside anything."""
    choices = re.findall(r'"oneOf": \[[^\]]*\]', raw_document())
    assert choices
    assert not [one for one in choices if "{}" in one]


def test_what_the_door_refuses_of_a_query_or_body_is_in_the_document() -> None:
    named = {operation["operationId"]: operation for _, operation in operations()}
    shapes = {one["name"]: one["schema"] for one in named["list_contacts"]["parameters"]}
    assert shapes["page"]["minimum"] == shapes["page_size"]["minimum"] == 1
    for name, good, bad in (
        ("name", "Ada", " "),
        ("fields", "name,etag", "name,nonsense"),
        ("external_id", "crm:4711", "crm"),
        ("expand", "organization", "notes"),
    ):
        assert re.search(shapes[name]["pattern"], good), name
        assert not re.search(shapes[name]["pattern"], bad), name
    bodies = [shape for name, shape in document()["components"]["schemas"].items() if name.endswith("FieldsRequest")]
    assert [shape["additionalProperties"] for shape in bodies] == [False, False]


def test_a_request_without_a_body_is_not_refused_for_its_body() -> None:
    for place, operation in operations():
        if "requestBody" not in operation:
            assert not {"413", "415"} & set(operation["responses"]), place


def test_every_enumeration_is_named_by_its_subject() -> None:
    schemas = document()["components"]["schemas"]
    named = {name for name, shape in schemas.items() if "enum" in shape and name not in BY_LIBRARY}
    plain = {"StatusEnum", "StateEnum", "KindEnum", "TypeEnum", "ActionEnum", "DirectionEnum", "OperationEnum"}
    assert not named & plain
    assert not [name for name in schemas if name.endswith("RequestRequest") or re.search(r"Enum[0-9a-f]{2,}$", name)]


def test_the_document_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        call_command("spectacular", "--format", "openapi-json", file=str(tmp_path / name))
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()
    assert json.loads((tmp_path / "one").read_text())["paths"]


def test_every_type_of_event_is_described_as_a_webhook() -> None:
    assert set(document()["webhooks"]) == {*EventType.values, "ping"}
    assert "Event" in document()["components"]["schemas"]


def test_what_is_deprecated_says_so_in_the_document() -> None:
    marked = {operation["operationId"] for _, operation in operations() if operation.get("deprecated")}
    assert marked == {"pause_queue", "resume_queue"}


def test_the_table_of_the_admins_actions_names_every_operation_and_none_besides() -> None:
    table = (Path(__file__).resolve().parents[2] / "docs/reference/admin-and-api.md").read_text()
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", table))
    known = {operation["operationId"] for _, operation in operations()}
    of_machines = {name for name in known if name.startswith(("receive_", "run_", "get_health", "get_readiness"))}
    beside = {"get_me", "list_events", "pause_queue", "resume_queue"}  # of programs alone, and what is deprecated
    alike = {name for name in known if "organization" in name or "contact" in name}
    arguments = {"sync_enabled", "sync_direction", "entity_id", "export_person", "erase_person", "monday_setup"}
    assert named - arguments - known == set()
    assert known - named - of_machines - beside - alike == set()


def test_the_page_is_shown_to_who_is_signed_in_and_its_script_is_no_inline_script(db: None) -> None:
    browser = Client()
    browser.force_login(user_who_may("view_contact"))
    page = browser.get("/api/v1/docs/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    html = page.content.decode()
    assert "<script>" not in html
    assert "/static/drf_spectacular_sidecar/" in html
    script = browser.get("/api/v1/docs/?script=", headers={"Accept": "*/*"})
    assert script.headers["Content-Type"] == "application/javascript"
    assert "/api/v1/schema/" in script.content.decode()


def test_an_account_without_any_right_is_told_nothing_of_the_api(db: None) -> None:
    browser = Client()
    browser.force_login(user_who_may())
    assert [browser.get(f"/api/v1/{page}/").status_code for page in ("docs", "schema")] == [403, 403]


@pytest.mark.parametrize(("accept", "status"), [("text/html", 302), ("*/*", 401)])
def test_the_page_sends_a_browser_to_the_login_and_refuses_a_program(db: None, accept: str, status: int) -> None:
    answer = Client().get("/api/v1/docs/", headers={"Accept": accept})
    assert answer.status_code == status
    if status == 302:
        assert answer.headers["Location"] == "/admin/login/?next=/api/v1/docs/"

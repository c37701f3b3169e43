"""The connector's side of bulk imports: cells, files, what Monday says of jobs, and the file's way."""

import csv
import io
import json
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from sync.connectors.base.board_items import ImportJobState, NotImportable
from sync.connectors.base.errors import (
    ConnectorError,
    JobLimitReached,
    ServerFailed,
    TimedOut,
    Unreachable,
    UploadRejected,
)
from sync.connectors.monday import bulk_import
from sync.connectors.monday.bulk_import import (
    can_be_imported,
    csv_cell,
    download_report,
    parse_report,
    render_csv,
    upload_file,
)
from sync.connectors.monday.client import MondayClient

API = "https://api.monday.test/v2"
STORE = "https://store.monday.test/file?X-Amz-Signature=secret"
LABELS = {"labels": {"1": "Done", "2": "In, progress", "3": "7"}}


@pytest.mark.parametrize(
    ("column_type", "value", "text"),
    [
        ("text", "a, b", "a, b"),
        ("name", "Ann", "Ann"),
        ("numbers", "42.5", "42.5"),
        ("long_text", {"text": "one\ntwo"}, "one\ntwo"),
        ("long_text", "plain", "plain"),
        ("email", {"email": "a@example.com", "text": "a@example.com"}, "a@example.com"),
        ("email", {"email": "a@example.com", "text": "Ann"}, "Ann <a@example.com>"),
        ("phone", {"phone": "+12025550169", "countryShortName": "US"}, "+12025550169"),
        ("link", {"url": "https://example.com", "text": "Home"}, "[Home](https://example.com)"),
        ("link", {"url": "https://example.com", "text": "https://example.com"}, "https://example.com"),
        ("date", {"date": "2026-01-31"}, "2026-01-31"),
        ("status", {"label": "Done"}, "Done"),
        ("status", {"label": "In, progress"}, "In, progress"),
        ("status", {"index": "1"}, "Done"),
        ("dropdown", {"labels": ["Done"]}, "Done"),
        ("people", {"personsAndTeams": [{"id": 4, "kind": "person"}, {"id": 5, "kind": "team"}]}, "user:4,team:5"),
        ("board_relation", {"item_ids": ["12", "13"]}, "12,13"),
        ("text", None, ""),
    ],
)
def test_a_value_becomes_the_cell_that_monday_documents(column_type: str, value: Any, text: str) -> None:
    assert csv_cell(column_type, value, LABELS) == text


@pytest.mark.parametrize(
    ("column_type", "value", "settings"),
    [
        ("text", "<NULL>", {}),
        ("email", {"email": "a@example.com", "text": "<Ann>"}, {}),
        ("phone", {"phone": "12345", "countryShortName": "US"}, {}),
        ("link", {"url": "https://example.com/(x)", "text": "Home"}, {}),
        ("link", {"url": "https://example.com", "text": "a]b"}, {}),
        ("date", {"date": "2026-01-31", "time": "10:00:00"}, {}),
        ("status", {"label": "New"}, LABELS),
        ("status", {"label": "7"}, LABELS),
        ("dropdown", {"labels": ["In, progress"]}, LABELS),
        ("dropdown", {"labels": ["New"]}, LABELS),
        ("board_relation", {"item_ids": [str(n) for n in range(51)]}, {}),
        ("board_relation", {"item_ids": ["1"]}, {"boardIds": [1, 2]}),
        ("country", {"countryCode": "US"}, {}),
        ("tags", {"tag_ids": [1]}, {}),
        ("date", "2026-01-31", {}),
    ],
)
def test_a_value_that_could_read_back_as_another_has_no_cell(
    column_type: str, value: Any, settings: dict[str, Any]
) -> None:
    with pytest.raises(NotImportable):
        csv_cell(column_type, value, settings)


def test_column_types_that_imports_don_t_take_are_known() -> None:
    assert [t for t in ("text", "tags", "checkbox", "location", "country") if can_be_imported(t)] == ["text"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=1))
def test_any_text_comes_out_of_the_file_as_it_went_in(texts: list[str]) -> None:
    content = render_csv(["notes", "name"], [{"name": "n", "notes": text} for text in texts])
    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert lines[0] == ["name", "notes"]
    assert [line[1] for line in lines[1:]] == texts


def test_the_reasons_of_a_report_are_found_whatever_else_it_holds() -> None:
    head = b"\xef\xbb\xbfname,npd_id,Row status,Error message\r\n"
    report = head + b'Ann,id-1,invalid,"bad, e-mail"\r\nBob,id-2,created,\r\n'
    assert parse_report(report, "npd_id") == {"id-1": "bad, e-mail"}


@pytest.mark.parametrize("report", [b"", b"name\r\nAnn\r\n", b"\xff\xfe", b"npd_id,state\r\nid-1,bad\r\n"])
def test_a_report_that_is_not_understood_says_nothing(report: bytes) -> None:
    assert parse_report(report, "npd_id") == {}


def answered(body: dict[str, Any], status: int = 200) -> MondayClient:
    responses.post(API, body=json.dumps(body), status=status)
    return MondayClient(API, "token")


@responses.activate
def test_a_started_job_has_an_id_and_an_address_that_is_not_shown() -> None:
    client = answered({"data": {"ingest_items": {"job_id": "j1", "upload_url": STORE}}})
    job = bulk_import.parse_started_import(client.execute(*bulk_import.start_import_mutation("1", "g", "npd_id")))
    assert (job.job_id, job.upload_url) == ("j1", STORE)
    assert "secret" not in repr(job)


@responses.activate
def test_the_hour_s_limit_of_jobs_says_how_long_to_wait() -> None:
    error = {"message": "Rate limit exceeded", "extensions": {"code": "RATE_LIMIT_EXCEEDED", "retryAfterMs": 90000}}
    client = answered({"errors": [error]}, 429)
    with pytest.raises(JobLimitReached) as refused:
        client.execute(*bulk_import.start_import_mutation("1", "g", "npd_id"))
    assert refused.value.wait_seconds == 90


@responses.activate
def test_a_start_that_is_refused_inside_a_200_raises_its_own_error() -> None:
    error = {
        "message": "Group not found",
        "path": ["ingest_items"],
        "extensions": {"code": "ResourceNotFoundException"},
    }
    client = answered({"data": {"ingest_items": None}, "errors": [error]})
    with pytest.raises(ConnectorError, match="Group not found"):
        bulk_import.parse_started_import(client.execute(*bulk_import.start_import_mutation("1", "g", "npd_id")))


@responses.activate
def test_a_job_s_state_that_we_have_no_word_for_is_not_over() -> None:
    client = answered({"data": {"fetch_job_status": {"status": "PAUSED", "counts": None}}})
    status = bulk_import.parse_import_status(client.execute(*bulk_import.import_status_query("j")))
    assert (status.state, status.state.is_finished, dict(status.counts)) == (ImportJobState.UNKNOWN, False, {})


@responses.activate
def test_a_failed_job_says_why() -> None:
    node = {"status": "REJECTED", "failure_reason": "BOARD_CAPACITY_EXCEEDED", "failure_message": "Full", "counts": {}}
    client = answered({"data": {"fetch_job_status": node}})
    status = bulk_import.parse_import_status(client.execute(*bulk_import.import_status_query("j")))
    assert (status.state.is_finished, status.reason) == (True, "Full")


@responses.activate
def test_the_file_is_sent_as_csv_without_token_or_checksum() -> None:
    put = responses.put(STORE, status=200, headers={"ETag": '"x"'})
    upload_file(STORE, b"name\r\nAnn\r\n")
    sent = put.calls[0].request
    assert (sent.headers["Content-Type"], sent.body) == ("text/csv", b"name\r\nAnn\r\n")
    assert not {"Authorization", "x-amz-checksum-crc32", "Idempotency-Key"} & set(sent.headers)


@pytest.mark.parametrize(
    ("answer", "error", "unknown"),
    [
        ({"status": 403}, UploadRejected, False),
        ({"status": 503}, ServerFailed, True),
        ({"body": requests.ConnectTimeout(f"no way to {STORE}")}, Unreachable, False),
        ({"body": requests.ReadTimeout(f"silence from {STORE}")}, TimedOut, True),
    ],
)
@responses.activate
def test_what_became_of_a_file_is_told_apart_and_its_address_kept_secret(
    answer: dict[str, Any], error: type[ConnectorError], unknown: bool
) -> None:
    responses.put(STORE, **answer)
    with pytest.raises(error) as failed:
        upload_file(STORE, b"name\r\n")
    assert failed.value.outcome_unknown is unknown
    assert "secret" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None or failed.value.__suppress_context__


@responses.activate
def test_a_report_that_can_t_be_had_is_done_without() -> None:
    responses.get(STORE, status=403)
    assert download_report(STORE) is None

"""Bulk imports as Monday documents them: a job, its file, its questions, and what becomes of each row."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Receiver, Simulator, wait_until

START = """mutation ($b: ID!, $g: ID!, $m: OnMatchInput) {
  ingest_items(board_id: $b, group_id: $g, on_match: $m) { job_id upload_url } }"""
STATUS = """query ($j: ID!) { fetch_job_status(job_id: $j) { __typename ... on ItemsJobStatus {
  status progress_percentage failure_reason failure_message fully_imported report_created report_url
  counts { submitted invalid skipped created updated failed } } } }"""
LINK = "[Home](https://example.org)"
CSV = {"Content-Type": "text/csv"}
Rows = list[list[str]]


class Imports:
    """Jobs on one board of one simulator."""

    def __init__(self, simulator: Simulator, board: str) -> None:
        self.simulator, self.board = simulator, board
        found = simulator.data("query ($b: [ID!]) { boards(ids: $b) { groups { id } } }", b=[board])
        self.group = found["boards"][0]["groups"][0]["id"]

    def start(self, match: str | None = None, behaviour: str = "SKIP") -> dict[str, str]:
        on_match = {"match_column_id": match, "behaviour": behaviour} if match else None
        job: dict[str, str] = self.simulator.data(START, b=self.board, g=self.group, m=on_match)["ingest_items"]
        return job

    def put(self, job: dict[str, str], content: bytes | Rows, headers: dict[str, str] = CSV) -> requests.Response:
        body = content if isinstance(content, bytes) else as_csv(content)
        return self.simulator.session.put(job["upload_url"], data=body, headers=headers, timeout=20)

    def status(self, job: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = self.simulator.data(STATUS, j=job["job_id"])["fetch_job_status"]
        return found

    def finished(self, job: dict[str, str]) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            found = self.status(job)
            return found if found["status"] in ("COMPLETED", "FAILED", "REJECTED") else None

        done: dict[str, Any] = wait_until(over, "the import is over")
        return done

    def run(self, rows: Rows | bytes, match: str | None = None, behaviour: str = "SKIP") -> tuple[dict[str, Any], Rows]:
        """The finished job's status and the rows of its report."""
        job = self.start(match, behaviour)
        assert self.put(job, rows).status_code == 200
        status = self.finished(job)
        report = self.simulator.session.get(status["report_url"], timeout=20) if status["report_url"] else None
        lines = list(csv.reader(io.StringIO(report.text))) if report is not None else []
        return status, lines

    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.simulator.read("boards")[0]["items"]
        return found


def as_csv(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def counted(status: dict[str, Any]) -> dict[str, int]:
    return {key: number for key, number in status["counts"].items() if number}


@pytest.fixture
def imports(simulator: Simulator, board: str) -> Iterator[Imports]:
    yield Imports(simulator, board)
    simulator.control("ingest", {})


def test_rows_become_items_with_a_value_of_every_type(imports: Imports) -> None:
    status, report = imports.run(
        [
            ["name", "email", "phone", "notes", "amount", "stage", "day", "site"],
            ["Ada, Countess", "Ada <ada@example.org>", "+12025550169", 'a "b"\nc', "4.50", "Done", "2026-01-31", LINK],
        ]
    )
    assert counted(status) == {"submitted": 1, "created": 1}
    assert (status["status"], status["progress_percentage"], status["fully_imported"]) == ("COMPLETED", 100, True)
    item = imports.items()[0]
    assert (item["name"], item["values"]["notes"], item["values"]["stage"]) == ("Ada, Countess", 'a "b"\nc', "Done")
    assert item["values"]["email"] == "Ada - ada@example.org"
    phone = imports.simulator.cell(item["id"], "phone")
    assert (phone["phone"], phone["country_short_name"]) == ("+12025550169", "US")
    assert imports.simulator.cell(item["id"], "site")["url_text"] == "Home"
    assert report[1][-3:] == ["created", item["id"], ""]


def test_a_row_that_can_t_be_taken_is_invalid_and_its_neighbours_are_made(imports: Imports) -> None:
    status, report = imports.run(
        [
            ["name", "email", "stage", "kinds", "day", "ticked"],
            ["bad mail", "no mail", "", "", "", ""],
            ["bad label", "", "done", "", "", ""],
            ["new label", "", "", "Unheard of", "", ""],
            ["bad day", "", "", "", "31.01.2026", ""],
            ["ticked", "", "", "", "", "true"],
            ["", "", "", "", "", ""],
            ["good", "", "", "", "", ""],
        ]
    )
    assert counted(status) == {"submitted": 7, "invalid": 6, "created": 1}
    assert [item["name"] for item in imports.items()] == ["good"]
    assert not status["fully_imported"]
    assert all(line[-1] for line in report[1:7])


def test_an_item_with_the_same_value_is_skipped(imports: Imports) -> None:
    imports.simulator.item(imports.board, "Old", npd_id="a1")
    status, report = imports.run([["name", "npd_id"], ["New", "a1"], ["Other", "a2"]], match="npd_id")
    assert counted(status) == {"submitted": 2, "skipped": 1, "created": 1}
    assert sorted(item["name"] for item in imports.items()) == ["Old", "Other"]
    assert [line[-3] for line in report[1:]] == ["skipped", "created"]


def test_upsert_updates_the_newest_match_keeps_empty_cells_and_clears_null(imports: Imports) -> None:
    older = imports.simulator.item(imports.board, "Older", role="r", email={"email": "a@example.org", "text": "A"})
    newer = imports.simulator.item(
        imports.board, "Newer", role="r", notes={"text": "n"}, email={"email": "a@example.org", "text": "B"}
    )
    rows = [["name", "email", "role", "notes"], ["Now", "a@example.org", "", "<NULL>"], ["Fresh", "", "", ""]]
    status, _ = imports.run(rows, match="email", behaviour="UPSERT")
    assert counted(status) == {"submitted": 2, "updated": 1, "created": 1}
    named = {item["id"]: item for item in imports.items()}
    assert (named[older]["name"], named[newer]["name"]) == ("Older", "Now")
    assert (named[newer]["values"]["role"], named[newer]["values"]["notes"]) == ("r", "")


def test_of_rows_with_one_match_value_the_last_one_wins_and_empty_values_never_match(imports: Imports) -> None:
    rows = [["name", "npd_id"], ["First", "x"], ["Last", "x"], ["Empty", ""], ["Empty too", ""]]
    status, _ = imports.run(rows, match="npd_id")
    assert counted(status) == {"submitted": 4, "skipped": 1, "created": 3}
    assert [item["name"] for item in imports.items()] == ["Last", "Empty", "Empty too"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"email,name\r\na@example.org,Ada\r\n", "name"),
        (b"name,nothing\r\nAda,x\r\n", "nothing"),
        (b"name\r\n", "rows"),
        (b"", "name"),
        (b"name\r\nAda,too many\r\n", "cells"),
        ("name\r\nÄda\r\n".encode("latin-1"), "UTF-8"),
        (b"name\r\n" + b"x\r\n" * 10_001, "10,001"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_rejected_whole(imports: Imports, content: bytes, words: str) -> None:
    status, _ = imports.run(content)
    assert (status["status"], status["failure_reason"]) == ("REJECTED", "INVALID_UPLOAD")
    assert words in status["failure_message"]
    assert imports.items() == []


def test_a_board_without_room_rejects_the_whole_import(imports: Imports) -> None:
    imports.simulator.control("boards", {"board_id": int(imports.board), "items_limit": 1})
    status, _ = imports.run([["name"], ["One"], ["Two"]])
    assert (status["status"], status["failure_reason"]) == ("REJECTED", "BOARD_CAPACITY_EXCEEDED")
    assert imports.items() == []


def test_an_upload_address_ends_after_ten_minutes(imports: Imports) -> None:
    job = imports.start()
    imports.simulator.control("clock", {"offset_seconds": 601})
    answer = imports.put(job, [["name"], ["Ada"]])
    assert (answer.status_code, "expired" in answer.text) == (403, True)
    assert imports.status(job)["status"] == "UPLOAD_PENDING"


def test_the_hundred_and_first_job_within_an_hour_is_refused_with_a_wait(imports: Imports) -> None:
    for _ in range(100):
        imports.start()
    answer = imports.simulator.post(START, {"b": imports.board, "g": imports.group})
    assert answer.status_code == 429
    extensions = answer.json()["errors"][0]["extensions"]
    assert extensions["code"] == "RATE_LIMIT_EXCEEDED"
    assert 0 < extensions["retryAfterMs"] <= 3_600_001
    imports.simulator.control("clock", {"offset_seconds": 3601})
    assert imports.start()["job_id"]


def test_imported_items_fire_webhooks_and_are_in_the_activity_log(imports: Imports, receiver: Receiver) -> None:
    imports.simulator.subscribe(imports.board, receiver.url, "create_item")
    imports.run([["name", "role"], ["Ada", "Boss"]])
    event = receiver.wait(1)[0]
    assert (event["pulseName"], event["columnValues"]["role"]["value"]) == ("Ada", "Boss")
    logs = imports.simulator.data(
        "query ($b: [ID!]) { boards(ids: $b) { activity_logs { event } } }", b=[imports.board]
    )
    assert "create_pulse" in [row["event"] for row in logs["boards"][0]["activity_logs"]]


def test_a_job_can_be_held_and_then_goes_on(imports: Imports) -> None:
    imports.simulator.control("ingest", {"hold": "upload"})
    job = imports.start()
    imports.put(job, [["name"], ["Ada"]])
    assert imports.status(job)["status"] == "UPLOAD_PENDING"
    imports.simulator.control("ingest", {"hold": "processing"})
    wait_until(lambda: imports.status(job)["status"] == "PROCESSING", "the job is being worked")
    imports.simulator.control("ingest", {})
    assert imports.finished(job)["status"] == "COMPLETED"


def test_a_job_can_be_made_to_fail_half_way(imports: Imports) -> None:
    imports.simulator.control("ingest", {"fail": "INTERNAL_ERROR", "fail_after": 250})
    status, _ = imports.run([["name"], *([f"i{n}"] for n in range(600))])
    assert (status["status"], status["failure_reason"]) == ("FAILED", "INTERNAL_ERROR")
    assert counted(status) == {"submitted": 600, "created": 250, "failed": 350}
    assert len(imports.items()) == 250


def test_a_job_that_nobody_started_is_not_found(imports: Imports) -> None:
    error = imports.simulator.refusal(STATUS, j="no-such-job")
    assert error["extensions"]["code"] == "ResourceNotFoundException"

"""An administrator, files, and a site whose wake-ups go nowhere."""

from __future__ import annotations

import io
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from npd.imports.import_jobs import confirm_import, read_import_now, run_all, start_undo
from npd.imports.models import ImportJob
from npd.imports.resources import ImportOptions
from sync.outbox import notify


@pytest.fixture(autouse=True)
def quiet(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wake-up leaves the test."""
    settings.MONDAY_API_KEY = "token-that-no-page-may-show"
    monkeypatch.setattr(notify, "notify_now", lambda entity_type: True)
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: None)


@pytest.fixture
def person(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("dora", "dora@example.com", "x", first_name="Dora", last_name="Demo")


@pytest.fixture
def admin(person: User, client: Client) -> Client:
    """The administrator's session."""
    client.force_login(person)
    return client


def upload(client: Client, content: bytes, name: str = "people.csv", kind: str = "contact", **form: str) -> Any:
    """Choose a file on the page; return the import's page once a worker has read it, else the refusal."""
    answer = chosen(client, content, name, kind, **form)
    if answer.status_code != 302:
        return answer
    run_all()
    return client.get(answer.url)


def chosen(client: Client, content: bytes, name: str = "people.csv", kind: str = "contact", **form: str) -> Any:
    """Choose a file on the page; no worker has seen it yet."""
    data = {"file": SimpleUploadedFile(name, content), **form}
    return client.post(f"/admin/npd/{kind}/import/", data)


def offered(by: User, text: str | bytes, kind: str = "contact", name: str = "people.csv", **options: bool) -> ImportJob:
    """What a file would do."""
    content = text.encode() if isinstance(text, str) else text
    return read_import_now(kind, name, io.BytesIO(content), options=ImportOptions(**options), by=by)


def imported(by: User, text: str | bytes, kind: str = "contact", **options: bool) -> ImportJob:
    """A file, confirmed and written."""
    return written(offered(by, text, kind, **options), by)


def written(job: ImportJob, by: User) -> ImportJob:
    """An import that is shown, confirmed and written."""
    assert confirm_import(job, by=by)
    return carried_on(job)


def taken_back(job: ImportJob, by: User) -> ImportJob:
    """An import that was written, undone."""
    assert start_undo(job, by=by)
    return carried_on(job)


def carried_on(job: ImportJob) -> ImportJob:
    """After a worker had its turn."""
    run_all()
    job.refresh_from_db()
    return job


def outcomes(job: ImportJob) -> dict[int, str]:
    """What each row comes to, by its number."""
    return dict(job.rows.values_list("number", "outcome"))


def said(job: ImportJob, number: int) -> str:
    """What is wrong with a row."""
    row = job.rows.get(number=number)
    return " ".join(f"{label}: {what}" for label, what in row.problems) + row.note

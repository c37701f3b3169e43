"""Files that a worker reads: tried again where it died, given up where each dies of it, left to whoever reads them."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from npd.imports.import_jobs import ATTEMPTS, discard_import, run_all, upload
from npd.imports.models import ImportFile, ImportJob, ImportRow
from npd.imports.resources import ImportOptions
from npd.tasks import carry_on_imports
from sync.clock import sync_now
from sync.kernel import process
from tests.importing.attacks import styles
from tests.importing.test_attacks import interpreter
from tests.support.waiting import beside, wait_for

pytestmark = pytest.mark.django_db
FILE = b"Name,Email\nAnn,ann@x.org\nBob,bob@x.org\n"


def uploaded(person: User, content: bytes = FILE, name: str = "people.csv") -> ImportJob:
    return upload("contact", name, io.BytesIO(content), options=ImportOptions(), by=person)


def stands(job: ImportJob) -> tuple[str, str, int]:
    job.refresh_from_db()
    return job.state, job.reason, job.attempts


def later() -> None:
    """A worker's last sign of life is long past."""
    ImportJob.objects.update(moved_at=sync_now() - timedelta(minutes=2))


def test_a_worker_reads_what_waits_and_the_file_is_kept_no_longer(person: User) -> None:
    first, second = uploaded(person), uploaded(person, b"Name\n1\n2\n", "b.csv")
    carry_on_imports()
    assert [stands(job) for job in (first, second)] == [("shown", "", 1)] * 2
    assert (first.counts["new"], first.rows_read, first.rows_compared) == (2, 2, 2)
    assert not ImportFile.objects.exists()


def test_an_attack_ends_as_a_failed_import_and_the_file_behind_it_is_read(person: User) -> None:
    attack, good = uploaded(person, styles(), "styles.xlsx"), uploaded(person)
    run_all()
    assert (stands(attack), stands(good)) == (("failed", "part_too_large", 1), ("shown", "", 1))
    assert attack.facts == {"part": "xl/styles.xml", "most": 2}


def test_a_file_that_kills_each_reader_is_given_up(
    person: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter(tmp_path, monkeypatch, "kill -9 $$")
    job = uploaded(person)
    for attempts in range(1, ATTEMPTS):
        run_all()
        assert stands(job) == ("reading", "", attempts)
        later()
    run_all()
    assert stands(job) == ("failed", "reader_died", ATTEMPTS)
    assert not ImportFile.objects.exists()


@pytest.mark.parametrize(("attempts", "end"), [(2, ("shown", "", 3)), (ATTEMPTS, ("failed", "reader_died", ATTEMPTS))])
def test_a_file_whose_worker_died_is_read_by_a_later_one_and_not_before_until_it_is_given_up(
    person: User, attempts: int, end: tuple[str, str, int]
) -> None:
    job = uploaded(person)
    ImportJob.objects.update(attempts=attempts)
    run_all()
    assert stands(job) == ("reading", "", attempts)
    later()
    run_all()
    assert stands(job) == end


def being_read(job: ImportJob) -> Any:
    """A worker beside the test, whose reader begins and never ends by itself."""
    reading = beside(run_all)
    wait_for("the try to be counted", lambda: ImportJob.objects.get(pk=job.pk).attempts == 1)
    return reading


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_told_to_end_gives_the_file_and_the_try_back(
    person: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter(tmp_path, monkeypatch, "exec sleep 1000")
    job = uploaded(person)
    reading = being_read(job)
    process.request_shutdown()
    try:
        reading.result(60)
        run_all()  # which begins nothing any more
    finally:
        process.cancel_shutdown()
    assert stands(job) == ("reading", "", 0)
    monkeypatch.setattr(sys, "executable", interpreter_of_ours)
    run_all()
    assert stands(job) == ("shown", "", 1)


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_discarded_while_it_is_read_leaves_nothing_and_ends_its_reader(
    person: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter(tmp_path, monkeypatch, "exec sleep 1000")
    job = uploaded(person)
    reading = being_read(job)
    assert discard_import(job, by=person)
    reading.result(60)
    assert not ImportFile.objects.exists()
    assert not ImportRow.objects.exists()


interpreter_of_ours = sys.executable

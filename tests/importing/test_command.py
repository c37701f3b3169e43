"""manage.py npd_import: what it prints, writes, and ends with."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from openpyxl import load_workbook

from npd.imports.import_jobs import confirm_import, discard_import
from npd.imports.models import ImportJob
from npd.management.commands.npd_import import Command
from npd.models import Contact, Organization
from tests.importing.attacks import styles

pytestmark = pytest.mark.django_db


def run(path: Path, *options: str) -> tuple[str, int]:
    """What the command said on both streams, and its exit code."""
    said = StringIO()
    try:
        call_command("npd_import", str(path), *options, stdout=said, stderr=said)
    except CommandError as error:
        return f"{said.getvalue()}{error}", error.returncode
    return said.getvalue(), 0


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("Name,Email,Colour\nAnne,ann@x.org,red\nBob,bob@x.org,blue\n")
    return path


def test_it_prints_what_it_would_do_and_writes_nothing_unless_told(person: User, people: Path) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org")
    for options, code in (((), 1), (("--dry-run",), 0), (("--dry-run", "--yes"), 0)):
        said, ended = run(people, *options)
        assert ended == code
        assert "“Colour” is ignored" in said
        assert "row 2 Anne (changed): Name “Ann” → “Anne”" in said
    assert list(Contact.objects.values_list("name", flat=True)) == ["Ann"]
    assert not ImportJob.objects.exists()


def test_with_yes_it_writes_and_tells_its_progress(person: User, people: Path) -> None:
    said, ended = run(people, "--yes")
    assert ended == 0
    assert "2 of 2 rows" in said
    assert "2 rows were imported." in said
    assert said.count("2 rows  New: 2  Changed: 0  Unchanged: 0  Equal: 0  Not imported: 0") == 2
    assert ImportJob.objects.get().state == "done"
    assert Contact.objects.count() == 2
    again, ended = run(people, "--yes")
    assert (ended, "There is nothing to write." in again) == (0, True)


def test_rows_left_out_are_told_kept_in_a_file_and_end_with_three(person: User, tmp_path: Path) -> None:
    path, errors = tmp_path / "p.csv", tmp_path / "errors.csv"
    path.write_text("Name,Email\nAnn,ann@x.org\nBob,nowhere\n")
    said, ended = run(path, "--yes", "--errors", str(errors))
    assert ended == 3
    assert "row 3 Bob: Email: “nowhere” is not an email address" in said
    assert Contact.objects.get().name == "Ann"
    assert errors.read_text("utf-8-sig").splitlines()[1].startswith('"Bob","nowhere",')
    sheet = tmp_path / "errors.xlsx"
    run(path, "--dry-run", "--errors", str(sheet))
    assert [cell.value for cell in next(load_workbook(sheet).active.iter_rows(min_row=2))][:2] == ["Bob", "nowhere"]


def test_organizations_and_the_options(person: User, tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("Name;City\nAcme;Oslo\n")
    assert run(path, "--model", "organization", "--yes")[1] == 0
    path.write_text("Name;City\nAcme;\n")
    assert run(path, "--model", "organization", "--yes", "--clear-empty")[1] == 0
    assert Organization.objects.get().address_city == ""
    path.write_text("Name;Email;Company\nAnn;ann@x.org;Nova\n")
    assert run(path, "--yes")[1] == 3
    assert run(path, "--yes", "--make-organizations")[1] == 0
    assert Contact.objects.get().organization == Organization.objects.get(name="Nova")
    path.write_text("Name;Email;Company\nBob;ann@x.org;Acme\n")
    for option, ended, name in (("--make-organizations", 3, "Ann"), ("--other-people", 0, "Bob")):
        assert (run(path, "--yes", option)[1], Contact.objects.get().name) == (ended, name)


def test_a_file_that_cant_be_read_ends_with_one(person: User, tmp_path: Path) -> None:
    said, ended = run(tmp_path / "none.csv")
    assert (ended, "can't be read: No such file or directory" in said) == (1, True)
    (tmp_path / "x.csv").write_text("x\n1\n")
    assert run(tmp_path / "x.csv", "--yes")[1] == 1
    (tmp_path / "x.xlsx").write_bytes(styles())
    said, ended = run(tmp_path / "x.xlsx", "--yes")
    assert (ended, "xl/styles.xml in x.xlsx unpacks to more than 2 MB" in said) == (1, True)
    assert not ImportJob.objects.exists()


def test_it_must_be_clear_in_whose_name_it_is_done(person: User, people: Path) -> None:
    User.objects.create_superuser("second", "s@x.org", "x")
    assert "Say with --by in whose name" in run(people, "--yes")[0]
    assert "There is no active user “nobody”" in run(people, "--yes", "--by", "nobody")[0]
    assert run(people, "--yes", "--by", "second")[1] == 0
    assert ImportJob.objects.get().by.username == "second"


def test_what_somebody_does_on_the_page_meanwhile_is_told_and_not_done_again(
    person: User, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = User.objects.create_user("eve", first_name="Eve", last_name="Else")
    acts = {"discard": discard_import, "confirm": confirm_import}
    for act, answer, told in (
        ("discard", True, "Somebody discarded the import of people.csv meanwhile"),
        ("discard", False, "Somebody discarded the import of people.csv meanwhile"),
        ("confirm", True, "Eve Else confirmed the import of people.csv meanwhile"),
        ("confirm", False, "Eve Else confirmed the import of people.csv meanwhile"),
    ):

        def wanted(command: Command, job: ImportJob, *, yes: bool, act: str = act, answer: bool = answer) -> bool:
            assert acts[act](job, by=other)
            return answer

        monkeypatch.setattr(Command, "_wanted", wanted)
        said, ended = run(people, "--by", "dora")
        assert (told in said, ended) == (True, 1)
        assert ("Nothing was written." in said) == (act == "discard")
        assert "rows were imported" not in said
        ImportJob.objects.all().delete()
    assert not Contact.objects.exists()

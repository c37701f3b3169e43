"""What an import writes, leaves alone, records, and takes back."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from structlog.testing import capture_logs

from npd.imports.import_jobs import confirm_import, discard_import, run_all, start_undo
from npd.imports.messages import warned_rows
from npd.imports.models import ImportJob
from npd.models import Contact, Organization
from sync.choices import Priority
from sync.models import Decision, FieldMapping, MondayAccount, SyncQueue
from tests.admin import states
from tests.importing.conftest import imported, offered, outcomes, said, taken_back, written
from tests.support.rows import queries_of
from tests.support.waiting import beside, somebody_waits, wait_for

pytestmark = pytest.mark.django_db


def test_rows_are_matched_by_npd_id_then_e_mail_and_only_what_differs_is_written(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org", phone="+46 8 123 45", notes="keeps")
    bob = Contact.objects.create(name="Bob", email="bob@x.org")
    text = (
        f"NPD ID,Full name,E-mail,Phone,Notes\n{bob.pk},Bobby,new@x.org,,\n"
        ",Anne,ann@X.ORG,+46812345,\n,Eve,eve@x.org,,\n"
    )
    job = imported(person, text)
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.name, ann.email, ann.phone, ann.notes) == ("Anne", "ann@x.org", "+46 8 123 45", "keeps")
    assert (bob.name, bob.email) == ("Bobby", "new@x.org")
    assert Contact.objects.filter(name="Eve", email="eve@x.org").count() == 1
    assert outcomes(job) == {2: "changed", 3: "changed", 4: "new"}
    assert list(job.rows.get(number=3).after) == ["name"]
    assert imported(person, "Name,Email\nAnne,ann@x.org\nEve,eve@x.org\n").counts["unchanged"] == 2


def test_organizations_are_matched_by_name(person: User) -> None:
    acme = Organization.objects.create(name="Acme Ltd", address_city="Oslo")
    contact = Contact.objects.create(name="Bill", email="bill@x.org")
    text = "Company name;City;Other names;Billing contact\n Acme Ltd ;Bergen;ACME; Inc\n"
    assert said(offered(person, text, "organization"), 2).count("There is no contact “Inc”") == 1
    text = 'Company name;City;Other names;Billing contact\nAcme Ltd;Bergen;"A; B";bill@x.org\n'
    imported(person, text, "organization")
    acme.refresh_from_db()
    assert (acme.address_city, acme.aliases, acme.billing_contact) == ("Bergen", ["A", "B"], contact)


def test_a_name_that_nobody_has_is_not_ambiguous_whatever_it_says(person: User) -> None:
    job = offered(person, "Name,Email,Company\nAnn,ann@x.org,Those who are called\n")
    assert outcomes(job) == {2: "invalid"}
    assert "There is no organization “Those who are called”" in said(job, 2)


def test_what_is_ambiguous_is_reported_and_not_written(person: User) -> None:
    Contact.objects.create(name="Ann", email="same@x.org")
    Contact.objects.create(name="Ann Two", email="same@x.org")
    Contact.objects.create(name="No Mail")
    Contact.objects.create(name="Cap", email="Cap@x.org")
    job = imported(
        person,
        "Name,Email,Phone\nAnn,same@x.org,+46 8 123 41\nNo Mail,,+46 8 123 42\nCap,cap@x.org,+46 8 123 43\n"
        "Twin,twin@x.org,+46 8 123 44\nTwin,TWIN@x.org,+46 8 123 45\nFine,fine@x.org,+46 8 123 46\n",
    )
    assert outcomes(job) == {2: "ambiguous", 3: "ambiguous", 4: "changed", 5: "repeated", 6: "repeated", 7: "new"}
    assert list(Contact.objects.exclude(phone="").values_list("name", flat=True)) == ["Cap", "Fine"]


def test_equal_rows_are_one_record_and_no_fault(person: User) -> None:
    ann, bob = "Ann,ann@x.org,0049 171 1234567", "Bob,,+46 8 123 45"
    job = imported(person, f"Name,Email,Phone,Ignored\n{ann},a\n{bob},b\n{ann},c\n{bob},b\n")
    assert outcomes(job) == {2: "new", 3: "new", 4: "equal", 5: "equal"}
    assert (job.counts["unchanged"], job.counts["equal"]) == (0, 2)
    assert (said(job, 4)[2:], said(job, 5)[2:]) == (
        "Row 4 is the same as row 2; imported once.",
        "Row 5 is the same as row 3; imported once.",
    )
    wrong = offered(person, "Name,Email\nEve,eve at x\nEve,eve at x\nAnn,ann@x.org\nAnn,ann@x.org\n")
    assert outcomes(wrong) == {2: "invalid", 3: "equal", 4: "unchanged", 5: "equal"}
    assert [said(wrong, number).partition(", which ")[2] for number in (3, 5)] == [
        "is not imported.",
        "changes nothing.",
    ]
    assert sorted(Contact.objects.values_list("name", flat=True)) == ["Ann", "Bob"]
    # Whichever the country is, 00 is the plus.
    assert outcomes(offered(person, "Name,Email,Phone\nAnn,ann@x.org,+49 171 1234567\n")) == {2: "unchanged"}


def test_every_invalid_row_says_its_field_what_is_wrong_and_what_to_do(person: User) -> None:
    text = (
        f"NPD ID,Name,Email,Role\nnope,A,,\n,B,not an address,\n,,c@x.org,\n,D,d@x.org,{'x' * 300}\n"
        "NPD ID,Name,Email,Role\n,E,e@x.org,r,extra\n"
    )
    job = imported(person, text)
    assert set(outcomes(job).values()) == {"invalid"}
    assert [said(job, number).partition(":")[0] for number in range(2, 6)] == ["NPD ID", "Email", "Name", "Role"]
    assert "“not an address” is not an email address" in said(job, 3)
    assert "has 300 characters; at most 255 fit" in said(job, 5)
    assert "repeats the titles" in said(job, 6)
    assert "more cells (5) than there are titles (4)" in said(job, 7)
    assert not Contact.objects.exists()


def test_what_is_no_email_address_is_called_that_and_no_duplicate(person: User) -> None:
    job = imported(person, "Name,Email\nA,not an address\nB,not an address\nC,c@x.org\nD,c@x.org\n")
    assert outcomes(job) == {2: "invalid", 3: "invalid", 4: "repeated", 5: "repeated"}


WRONG_PHONES = (
    "keine Ahnung", '"=""+4930999"""', "+49 30 123456 / +49 171 999999", "4.93012E+11", "030/12 34", "0170 1234567"
)  # fmt: skip


@pytest.mark.parametrize("has_boards", [False, True])
def test_a_wrong_telephone_number_is_a_problem_and_replaces_no_good_one_whether_boards_are_set_up_or_not(
    person: User, has_boards: bool
) -> None:
    if has_boards:
        states.boards()
    good = "+49 30 1002738"
    Contact.objects.bulk_create(
        Contact(name=f"C{number}", email=f"c{number}@x.org", phone=good) for number in range(len(WRONG_PHONES))
    )
    lines = [f"c{number}@x.org,{wrong}\nnew{number}@x.org,{wrong}\n" for number, wrong in enumerate(WRONG_PHONES)]
    job = imported(person, "Email,Phone\n" + "".join(lines))
    assert set(outcomes(job).values()) == {"invalid"}
    assert all("Phone: " in said(job, row.number) for row in job.rows.all())
    assert set(Contact.objects.values_list("phone", flat=True)) == {good}


def test_a_number_without_a_country_is_shown_and_stored_with_the_one_that_it_gets(person: User) -> None:
    Organization.objects.create(name="Berliner", address_country="Deutschland")
    Contact.objects.create(name="D", email="d@x.org", phone="+49 30 9988776", organization=Organization.objects.get())
    Organization.objects.create(name="Sunk", address_country="Atlantis")
    text = "Name,Email,Phone,Organization\nA,a@x.org,030 9988776,Berliner\nB,b@x.org,(202) 555-0143,\n"
    job = imported(person, text + "D,d@x.org,030/9988776,Berliner\nE,e@x.org,(202) 555-0143,Sunk\n")
    assert outcomes(job) == {2: "new", 3: "new", 4: "unchanged", 5: "invalid"}
    assert "“Atlantis” is not recognized" in said(job, 5)
    numbers = {"A": "+49 30 9988776", "B": "+1 202-555-0143"}
    assert {row.name: row.after["phone"] for row in job.rows.filter(outcome="new")} == numbers
    assert dict(Contact.objects.exclude(name="D").values_list("name", "phone")) == numbers


def test_what_monday_would_refuse_is_said_in_the_preview_where_it_would_be_sent(person: User) -> None:
    text = f"Name,Email,Notes\nA,a@x.org,{'x' * 2001}\nB,b@x.org,short\n"
    assert outcomes(offered(person, text)) == {2: "new", 3: "new"}
    states.boards()
    assert outcomes(offered(person, text)) == {2: "invalid", 3: "new"}
    FieldMapping.objects.filter(link__entity_type="contact", key="notes").update(direction="monday_to_npd")
    assert outcomes(offered(person, text)) == {2: "new", 3: "new"}


def test_what_monday_will_probably_refuse_is_imported_with_a_warning_where_it_would_be_sent(person: User) -> None:
    states.boards()
    text = "Name,Email\nA,a@x.org\nD,d/e@x.org\n"
    job = imported(person, text)
    assert set(outcomes(job).values()) == {"new"}
    assert {row.number: [label for label, _ in row.warnings] for row in job.rows.all()} == {2: [], 3: ["Email"]}
    assert Contact.objects.get(name="D").email == "d/e@x.org"
    assert list(warned_rows(offered(person, text))) == []


def test_an_e_mail_that_differs_in_capitals_finds_its_record_and_is_left_as_it_is(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    job = imported(person, "Name,Email,Role\nAnn,Ann@X.org,Head\n")
    assert (outcomes(job), job.rows.get().after) == ({2: "changed"}, {"role_title": "Head"})
    imported(person, f"NPD ID,Email\n{ann.pk},Ann@x.org\n")
    ann.refresh_from_db()
    assert (ann.role_title, ann.email) == ("Head", "Ann@x.org")
    Contact.objects.create(name="Other Ann", email="aNN@x.org")
    assert outcomes(offered(person, "Name,Email\nA,ann@x.org\nB,Ann@x.org\n")) == {2: "ambiguous", 3: "changed"}


def test_an_empty_cell_leaves_the_value_unless_emptying_was_asked_for(person: User) -> None:
    acme = Organization.objects.create(name="Acme")
    ann = Contact.objects.create(name="Ann", email="ann@x.org", phone="+46 8 123 41", organization=acme)
    text = "Name,Email,Phone,Organization\n,ann@x.org,,\n"
    assert imported(person, text).counts["unchanged"] == 1
    job = offered(person, text, clear_empty=True)
    assert said(job, 2).startswith("Name: The cell is empty")
    imported(person, text.replace("\n,ann", "\nAnn,ann"), clear_empty=True)
    ann.refresh_from_db()
    assert (ann.phone, ann.organization, ann.email) == ("", None, "ann@x.org")


def test_organizations_are_made_only_where_that_was_asked_for(person: User) -> None:
    acme = Organization.objects.create(name="Acme")
    text = "Name,Email,Company\nA,a@x.org,acme\nB,b@x.org,Nova\nC,c@x.org,nova\n"
    refused = imported(person, text)
    assert outcomes(refused) == {2: "new", 3: "invalid", 4: "invalid"}
    job = imported(person, text, make_organizations=True)
    assert list(job.organizations.values()) == ["Nova"]
    nova = Organization.objects.get(name="Nova")
    assert list(nova.contacts.order_by("name").values_list("name", flat=True)) == ["B", "C"]
    assert list(acme.contacts.values_list("name", flat=True)) == ["A"]


def test_an_organization_that_somebody_made_meanwhile_is_used_in_every_batch(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from npd.imports import import_writer

    monkeypatch.setattr(import_writer, "WRITE_BATCH", 1)
    text = "Name,Email,Company\nA,a@x.org,Nova\nB,b@x.org,NOVA\nC,c@x.org,Other\nD,d@x.org,other\nE,bad,Unused\n"
    job = offered(person, text, make_organizations=True)
    Organization.objects.create(name="Nova")
    written(job, person)
    names = dict(Contact.objects.values_list("name", "organization__name"))
    assert names == {"A": "Nova", "B": "Nova", "C": "Other", "D": "Other"}
    assert set(Organization.objects.values_list("name", flat=True)) == {"Nova", "Other"}
    job.refresh_from_db()
    taken_back(job, person)
    assert list(Organization.objects.values_list("name", flat=True)) == ["Nova"]


def test_what_changed_between_preview_and_confirm_is_not_overwritten(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org", phone="+46 8 123 41")
    gone = Contact.objects.create(name="Gone", email="gone@x.org")
    same = Contact.objects.create(name="Same", email="same@x.org")
    job = offered(
        person,
        "Name,Email,Phone\nAnn,ann@x.org,+46 8 123 42\nGone,gone@x.org,+46 8 123 42\nSame,same@x.org,+46 8 123 42\n"
        "New,new@x.org,+46 8 123 42\nFine,fine@x.org,+46 8 123 42\n",
    )
    Contact.objects.filter(pk=ann.pk).update(phone="+46 8 123 43", notes="typed meanwhile")
    gone.delete()
    Contact.objects.filter(pk=same.pk).update(phone="+46 8 123 42")
    Contact.objects.create(name="New", email="new@x.org", phone="+46 8 123 49")
    written(job, person)
    ann.refresh_from_db()
    assert (ann.phone, ann.notes) == ("+46 8 123 43", "typed meanwhile")
    assert dict(job.rows.values_list("number", "result")) == dict.fromkeys(range(2, 6), "left") | {6: "written"}
    assert Contact.objects.get(email="new@x.org").phone == "+46 8 123 49"
    assert Contact.objects.get(email="fine@x.org").phone == "+46 8 123 42"


def test_another_field_that_was_typed_meanwhile_is_kept(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org", phone="+46 8 123 41", notes="old")
    bob = Contact.objects.create(name="Bob", email="bob@x.org", notes="old")
    job = offered(person, "Name,Email,Phone,Notes\nAnn,ann@x.org,+46 8 123 42,\nBob,bob@x.org,,new\n")
    Contact.objects.filter(pk=ann.pk).update(notes="typed meanwhile")
    written(job, person)
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.phone, ann.notes, bob.notes) == ("+46 8 123 42", "typed meanwhile", "new")


def test_an_organization_that_was_deleted_meanwhile_stops_its_row_alone(person: User) -> None:
    acme = Organization.objects.create(name="Acme")
    job = offered(person, "Name,Email,Company\nA,a@x.org,Acme\nB,b@x.org,\n")
    acme.delete()
    written(job, person)
    assert list(Contact.objects.values_list("name", flat=True)) == ["B"]


def test_what_the_database_refuses_stops_its_row_alone(person: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE contacts ADD CONSTRAINT nobody_is_called_a CHECK (name <> 'A')")
    imported(person, "Name,Email\nA,a@x.org\nB,b@x.org\n")
    assert list(Contact.objects.values_list("name", flat=True)) == ["B"]


def test_a_row_that_was_stored_otherwise_than_its_file_says_is_not_written(person: User) -> None:
    job = offered(person, "Name,Email\nA,a@x.org\nB,b@x.org\n")
    row = job.rows.get(number=2)
    row.after = row.after | {"name": "Somebody else"}
    row.save()
    written(job, person)
    assert list(Contact.objects.values_list("name", flat=True)) == ["B"]
    assert job.rows.get(number=2).result == "left"


def test_an_import_wakes_the_sync_behind_what_people_do(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    busy = Contact.objects.create(name="Busy", email="busy@x.org")
    SyncQueue.objects.exclude(entity_id=busy.pk).delete()
    imported(person, "Name,Email\nAnne,ann@x.org\nBusier,busy@x.org\nNew,new@x.org\n")
    made = Contact.objects.get(email="new@x.org")
    waiting = dict(SyncQueue.objects.filter(status="pending").values_list("entity_id", "priority"))
    assert waiting == {ann.pk: Priority.LOAD, made.pk: Priority.LOAD, busy.pk: Priority.EDIT}


def test_every_record_has_a_line_in_the_audit_log_and_in_its_history(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    imported(person, "Name,Email\nAnne,ann@x.org\nBob,bob@x.org\n")
    bob = Contact.objects.get(name="Bob")
    lines = dict(LogEntry.objects.filter(user=person).values_list("object_id", "change_message"))
    assert lines[str(ann.pk)] == "Imported: row 2 of “people.csv”. Changed Name."
    assert lines[str(bob.pk)] == "Imported: row 3 of “people.csv”."
    assert LogEntry.objects.filter(change_message="Import confirmed: 2 rows to write.").count() == 1
    sentence = Decision.objects.get(entity_id=ann.pk).sentence
    assert sentence == "Name set to “Anne” (was “Ann”) by the import of “people.csv”, row 2."


def test_an_import_is_taken_back_as_one(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    moved = Contact.objects.create(name="Moved", email="moved@x.org")
    job = imported(
        person,
        "Name,Email,Company\nAnne,ann@x.org,\nMoved 2,moved@x.org,\nBob,bob@x.org,Nova\nKept,kept@x.org,\n",
        make_organizations=True,
    )
    Contact.objects.filter(pk=moved.pk).update(name="Moved by hand")
    Contact.objects.filter(email="kept@x.org").update(phone="+46 8 123 41")
    taken_back(job, person)
    ann.refresh_from_db()
    moved.refresh_from_db()
    assert (job.state, ann.name, moved.name) == ("undone", "Ann", "Moved by hand")
    assert list(Contact.objects.order_by("name").values_list("name", flat=True)) == ["Ann", "Kept", "Moved by hand"]
    assert not Organization.objects.exists()
    assert dict(job.rows.values_list("number", "result")) == {2: "undone", 3: "kept", 4: "undone", 5: "kept"}
    assert LogEntry.objects.filter(action_flag=3, user=person).count() == 2


def test_an_organization_that_somebody_uses_outlives_the_undo(person: User) -> None:
    job = imported(person, "Name,Email,Company\nBob,bob@x.org,Nova\n", make_organizations=True)
    Contact.objects.create(name="Other", organization=Organization.objects.get(name="Nova"))
    taken_back(job, person)
    assert list(Organization.objects.values_list("name", flat=True)) == ["Nova"]
    assert list(Contact.objects.values_list("name", flat=True)) == ["Other"]


def test_a_confirmed_import_that_was_cut_off_goes_on_where_it_ended(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from npd.imports import import_jobs, import_writer

    monkeypatch.setattr(import_writer, "WRITE_BATCH", 2)
    job = offered(person, "Name,Email\n" + "".join(f"P{n},p{n}@x.org\n" for n in range(5)))
    confirm_import(job, by=person)
    import_jobs._run_batch(job.pk)
    assert (Contact.objects.count(), job.rows.filter(result="written").count()) == (2, 2)
    assert not confirm_import(job, by=person)
    run_all()
    assert Contact.objects.count() == 5
    run_all()
    assert (Contact.objects.count(), ImportJob.objects.get().state) == (5, "done")


def test_five_thousand_rows_take_a_bounded_number_of_queries(person: User) -> None:
    MondayAccount.objects.update_or_create(id=1, defaults={"phone_region": "GB"})
    for number in range(0, 200, 2):
        Contact.objects.create(name=f"P{number}", email=f"p{number}@x.org")

    def queries(rows: int, start: int) -> int:
        text = "Name,Email,Phone\n" + "".join(
            f"P{n},p{n}@x.org,020 7946 0{n:03d}\n" for n in range(start, start + rows)
        )
        return queries_of(lambda: imported(person, text))

    queries(10, 150)  # the first fills caches, and is what the activity of the next ones is folded with
    assert queries(100, 0) == queries(10, 100)


def test_an_import_that_fails_holds_up_no_other(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from npd.imports import import_jobs

    first, second = (offered(person, f"Name,Email\nBob,{name}@x.org\n") for name in ("a", "b"))
    assert confirm_import(first, by=person)
    assert confirm_import(second, by=person)
    whole = import_jobs.write_batch

    def write_some(job: ImportJob) -> Any:
        if job.pk == first.pk:
            raise RuntimeError("what nobody thought of")
        return whole(job)

    monkeypatch.setattr(import_jobs, "write_batch", write_some)
    run_all()
    assert list(Contact.objects.values_list("email", flat=True)) == ["b@x.org"]
    monkeypatch.undo()
    run_all()
    assert Contact.objects.filter(email="a@x.org").count() == 1


def test_a_name_of_any_length_may_import_and_take_back(person: User) -> None:
    User.objects.update(first_name="D" * 150, last_name="D" * 150)
    person.refresh_from_db()
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    job = imported(person, "Name,Email\nAnne,ann@x.org\n")
    taken_back(job, person)
    ann.refresh_from_db()
    assert (job.state, ann.name) == ("undone", "Ann")


def test_an_undo_goes_on_without_the_account_of_who_asked_for_it(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org")
    job = imported(person, "Name,Email\nAnne,ann@x.org\n")
    other = User.objects.create_superuser("eve", "eve@example.com", "x")
    assert start_undo(job, by=other)
    other.delete()
    run_all()
    ann.refresh_from_db()
    assert ann.name == "Ann"


# --- what happens meanwhile ---


def test_a_match_by_e_mail_is_looked_at_again_when_it_is_written(person: User) -> None:
    moved = Contact.objects.create(name="Moved", email="moved@x.org", phone="+46 8 123 41")
    twice = Contact.objects.create(name="Twice", email="twice@x.org", phone="+46 8 123 41")
    fine = Contact.objects.create(name="Fine", email="fine@x.org", phone="+46 8 123 41")
    job = offered(person, "Email,Phone\nmoved@x.org,+46 8 123 42\ntwice@x.org,+46 8 123 42\nfine@x.org,+46 8 123 42\n")
    Contact.objects.filter(pk=moved.pk).update(email="elsewhere@x.org")
    Contact.objects.create(name="Another", email="twice@x.org")
    written(job, person)
    phones = dict(Contact.objects.values_list("pk", "phone"))
    assert (phones[moved.pk], phones[twice.pk], phones[fine.pk]) == ("+46 8 123 41", "+46 8 123 41", "+46 8 123 42")


def test_a_row_with_an_npd_id_is_about_that_record_whatever_its_e_mail_says(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org", phone="+46 8 123 41")
    job = offered(person, f"NPD ID,Email,Phone\n{ann.pk},ann@x.org,+46 8 123 42\n")
    Contact.objects.filter(pk=ann.pk).update(email="elsewhere@x.org")
    written(job, person)
    ann.refresh_from_db()
    assert (ann.phone, ann.email) == ("+46 8 123 42", "elsewhere@x.org")


def test_two_of_one_name_in_a_file_are_both_made_wherever_its_batches_end(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from npd.imports import import_writer

    monkeypatch.setattr(import_writer, "WRITE_BATCH", 1)
    job = imported(person, "Name,Email\nBob,bob@x.org\nBob,\n")
    assert dict(job.rows.values_list("number", "result")) == {2: "written", 3: "written"}
    assert Contact.objects.filter(name="Bob").count() == 2


def test_a_second_worker_leaves_an_import_to_the_first(person: User) -> None:
    from npd.imports import import_jobs

    job = offered(person, "Name,Email\nBob,bob@x.org\n")
    confirm_import(job, by=person)
    first = connection.copy()
    try:
        with first.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [import_jobs.IMPORT_LOCK])
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")  # one that waits for the other fails, and says so
        with capture_logs() as lines:
            run_all()
        assert (Contact.objects.exists(), lines) == (False, [])
        with first.cursor() as cursor:  # to close alone frees it a moment later
            cursor.execute("SELECT pg_advisory_unlock(%s)", [import_jobs.IMPORT_LOCK])
    finally:
        first.close()
    run_all()
    assert Contact.objects.filter(name="Bob").count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_import_that_is_confirmed_while_it_is_discarded_is_one_or_the_other(person: User) -> None:
    job = offered(person, "Name,Email\nBob,bob@x.org\n")
    yes: list[Any] = []

    def meanwhile(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if "npd_imports" in sql and not yes:
            yes.append(beside(lambda: confirm_import(ImportJob(pk=job.pk, counts=job.counts), by=person)))
            wait_for("the other's yes, or its wait", lambda: yes[0].done() or somebody_waits(), 30)
        return answer

    with connection.execute_wrapper(meanwhile):
        gone = discard_import(job, by=person)
    confirmed = yes[0].result(30)
    assert confirmed is not gone
    assert ImportJob.objects.filter(state="running").exists() is confirmed


def test_an_undo_says_which_values_it_could_not_put_back_because_the_history_is_pruned(person: User) -> None:
    ann = Contact.objects.create(name="Ann", email="ann@x.org", phone="+46 8 123 41")
    job = imported(person, "Name,Email,Phone\nAnne,ann@x.org,+46 8 123 42\n")
    Decision.objects.filter(batch_id=job.pk, key="phone").delete()
    taken_back(job, person)
    ann.refresh_from_db()
    assert (ann.name, ann.phone) == ("Ann", "+46 8 123 42")
    assert said(job, 2).startswith("Phone: its history is deleted")
    assert job.rows.get().result == "kept"


def test_the_page_that_offers_the_undo_asks_as_much_for_many_relations_as_for_few(person: User, admin: Any) -> None:
    new = Organization.objects.create(name="New")

    def queries(start: int, rows: int) -> int:
        text = "Email,Organization\n"
        for number in range(start, start + rows):
            old = Organization.objects.create(name=f"Old {number}")
            Contact.objects.create(name=f"C{number}", email=f"c{number}@x.org", organization=old)
            text += f"c{number}@x.org,{new.name}\n"
        job = imported(person, text)
        return queries_of(lambda: admin.get(f"/admin/npd/contact/import/{job.pk}/undo/"))

    few = queries(0, 2)
    assert queries(10, 12) <= few


def test_many_values_are_put_back_in_as_many_queries_as_few(person: User) -> None:
    def queries(start: int, rows: int) -> int:
        numbers = range(start, start + rows)
        Contact.objects.bulk_create(Contact(name=f"C{n}", email=f"c{n}@x.org", phone="+46 8 123 41") for n in numbers)
        text = "Email,Name,Phone\n" + "".join(f"c{n}@x.org,D{n},+46 8 123 42\n" for n in numbers)
        job = imported(person, text, other_people=True)
        start_undo(job, by=person)
        found = queries_of(run_all)
        assert set(job.rows.values_list("result", flat=True)) == {"undone"}
        return found

    queries(200, 8)  # what the activity of the next ones is folded with
    few = queries(0, 3)
    assert queries(100, 60) <= few
    assert set(Contact.objects.values_list("phone", flat=True)) == {"+46 8 123 41"}
    assert not Contact.objects.filter(name__startswith="D").exists()
    assert LogEntry.objects.filter(change_message__startswith="Undo: ").count() == 2 * 71


def test_a_number_without_a_country_is_of_the_one_that_was_chosen(person: User) -> None:
    MondayAccount.objects.update_or_create(id=1, defaults={"phone_region": "DE"})
    job = imported(person, "Name,Email,Phone\nA,a@x.org,030 9988776\nB,b@x.org,12\n")
    assert outcomes(job) == {2: "new", 3: "invalid"}
    assert Contact.objects.get().phone == "+49 30 9988776"

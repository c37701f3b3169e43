"""The third step: suggestions, what can't be mapped, and columns that move while a person maps."""

from __future__ import annotations

import pytest

from npd.models import Contact
from sync.connectors.base.board_items import Item, Reading
from sync.models import SetupDraft
from sync.operations.setup.fields import FieldChoice, mappable_fields, pair_samples, suggest_columns
from sync.reconcile.lookups import phone_region
from tests.admin.forms import values_of
from tests.wizard.conftest import PEOPLE, START, Wizard, a_board, an_item, draft, mail, people, words_of

HOSTILE = '<img src=x onerror="alert(1)"> "\'& \u202edrawkcab'


@pytest.fixture
def board(wizard: Wizard) -> str:
    columns = (*PEOPLE, ("rank", "Rank", "numbers"), ("sum", "Span", "timeline"), ("memo", "Long notes", "long_text"))
    return a_board(wizard.monday, "CRM", *columns, items=[{"name": "Ann", "mail": mail("ann@x.org"), "job": "Head"}])


@pytest.mark.django_db
def test_columns_are_suggested_by_title_and_type() -> None:
    kinds = (*PEOPLE, ("rank", "Rank", "numbers"), ("sum", "Span", "timeline"), ("memo", "Long notes", "long_text"))
    columns = {column: {"title": title, "type": kind} for column, title, kind in kinds}
    found = suggest_columns(mappable_fields("contact"), columns, "")
    assert {key: one.column for key, one in found.items()} == {
        "name": "name", "email": "mail", "phone": "tel", "role_title": "job", "notes": "+",
    }  # fmt: skip


@pytest.mark.django_db
def test_a_title_that_an_import_knows_is_a_suggestion_and_the_fields_own_title_a_better_one() -> None:
    columns = {"a": {"title": "Funktion", "type": "text"}, "b": {"title": "Firma", "type": "text"}}
    found = suggest_columns(mappable_fields("contact"), columns, "")
    assert (found["role_title"].column, found["organization"].column) == ("a", "b")
    found = suggest_columns(mappable_fields("contact"), columns | {"c": {"title": "Role", "type": "text"}}, "")
    assert found["role_title"].column == "c"


def test_a_record_on_both_sides_is_found_among_many_newer_ones(wizard: Wizard, board: str) -> None:
    people()
    Contact.objects.bulk_create(Contact(name=f"New {number}", email=f"n{number}@x.org") for number in range(90))
    wizard.boards(contact=board)
    page = wizard.get("map/contact/")
    assert "Ann Ångström ann@x.org ann@x.org" in page
    Contact.objects.bulk_create(Contact(name=f"More {number}", email=f"m{number}@x.org") for number in range(20))
    SetupDraft.objects.all().delete()
    wizard.boards(contact=board)
    assert "None of the 100 newest records" in wizard.get("map/contact/")


def test_samples_of_both_sides_stand_beside_the_field_and_an_unfit_column_says_why(wizard: Wizard, board: str) -> None:
    Contact.objects.create(name="Una Known", email="una@x.org")
    Contact.objects.create(name="Two Known", email="two@x.org")
    wizard.boards(contact=board)
    page = wizard.client.get(START + "map/contact/").content.decode()
    assert 'data-samples="Head"' in page
    assert "Two Known · Una Known" in page
    assert '<bdi id="npd-wizard-says-email">ann@x.org</bdi>' in page
    page = words_of(page)
    assert "No record was found on both sides by Email, so the sample values are of different records." in page
    assert "“Span” : NPD Sync doesn't read columns of the type timeline." in page
    assert "“Rank” : No field takes columns of the type numbers." in page
    assert "“Long notes” : it fits a field, but isn't chosen." in page


def test_samples_are_of_the_same_record_on_both_sides_where_there_is_one(wizard: Wizard, board: str) -> None:
    people()
    an_item(wizard.monday, board, "Robert", mail=mail("bob@x.org"), job="Driver")
    an_item(wizard.monday, board, "Twice", mail=mail("two@x.org"))
    an_item(wizard.monday, board, "Twice", mail=mail("two@x.org"))
    Contact.objects.create(name="Two", email="two@x.org")  # of two items it isn't known which
    wizard.boards(contact=board)
    page = words_of(wizard.client.get(START + "map/contact/").content.decode())
    assert "Sample values are of the same records on both sides." in page
    assert "Bob Stone bob@x.org bob@x.org" in page
    assert "Ann Ångström ann@x.org ann@x.org" in page
    assert "Bob Stone – Driver" in page
    assert "Ann Ångström – Head" in page
    assert "Two two@x.org" not in page


@pytest.mark.django_db
def test_a_linked_record_is_shown_with_its_own_item() -> None:
    [email] = [one for one in mappable_fields("contact") if one.is_match_key]
    linked, own = Contact(name="Linked", email="linked@x.org", monday_id="7"), Item("7", "Another name", "active")
    cell = Reading("mail", "email", text="linked@x.org", value=mail("linked@x.org"), extra={"email": "linked@x.org"})
    like = Item("8", "Linked", "active", values={"mail": cell})
    assert pair_samples(email, "mail", "email", [linked], [like, own], "") == [(linked, own)]
    free = Contact(name="Free", email="linked@x.org")
    assert pair_samples(email, "mail", "email", [free], [like, own], "") == [(free, like)]


def begun(wizard: Wizard) -> None:
    """A set-up of a board as it was read last."""
    kinds = [*PEOPLE, ("rank", "Rank", "numbers")]
    columns = {column: {"title": title, "type": kind, "samples": []} for column, title, kind in kinds}
    chosen = {"name": "name", "email": "mail", "phone": "tel", "role_title": "job", "notes": "+", "organization": ""}
    fields = {key: FieldChoice(column).to_json() for key, column in chosen.items()}
    SetupDraft.objects.create(entity_type="contact", board_id="7", board_name="CRM", columns=columns, fields=fields)


REFUSED = (
    ({"column_role_title": "tel"}, "is of the type phone; Role needs text"),
    ({"column_email": ""}, "Email must be synced, for records and items are matched by it"),
    ({"direction_email": "none"}, "Email must be synced"),
    ({"direction_name": "none"}, "Name must be synced, for it is required in NPD"),
    ({"column_phone": "gone_column"}, "The column gone_column is not on the board any more"),
    ({"column_phone": "+"}, "The board has a column “Phone” that fits"),
    ({"column_organization": "+"}, "Organization needs the other board first"),
    ({"direction_phone": "sideways"}, "Choose one of the directions and rules that are offered"),
    ({"rule_phone": "union"}, "Choose one of the directions and rules that are offered"),
    ({"column_role_title": "job", "column_organization": "job"}, "is the column of"),
)


def test_what_can_not_be_mapped_is_said_beside_its_field_and_nothing_is_kept(away: Wizard) -> None:
    begun(away)
    before = draft().fields
    for changes, words in REFUSED:
        page = away.map("contact", **changes)
        assert "Nothing was saved yet" in page
        assert words in page
        assert draft().fields == before
        assert not draft().mapped


def test_a_renamed_column_is_followed_by_its_id(wizard: Wizard, board: str) -> None:
    wizard.boards(contact=board)
    wizard.map("contact")
    query = 'mutation ($b: ID!) { change_column_title(board_id: $b, column_id: "job", title: "Position") { id } }'
    wizard.monday.query(query, b=board)
    assert "Position (Text)" in wizard.get("map/contact/")
    assert draft().fields["role_title"]["column"] == "job"
    assert draft().mapped


def test_a_column_deleted_meanwhile_is_said_and_looking_at_it_keeps_nothing(wizard: Wizard, board: str) -> None:
    wizard.boards(contact=board)
    wizard.map("contact")
    wizard.work()
    wizard.monday.delete_column(board, "job")
    before = SetupDraft.objects.values().get()
    page = wizard.get("map/contact/")
    assert "The board has changed: a column that was chosen was deleted or has another type" in page
    assert "job, deleted on the board" in page
    assert SetupDraft.objects.values().get() == before
    assert "The column job is not on the board any more" in wizard.map("contact")
    assert "being compared" in wizard.map("contact", column_role_title="")
    assert "job" not in draft().columns


def test_a_column_that_is_to_be_created_is_synced(away: Wizard) -> None:
    """Whose direction said "No sync" because there was no column; another direction stays as it was chosen."""
    begun(away)
    away.map("contact", column_notes="+", direction_notes="none", column_role_title="")
    assert draft().fields["notes"] == {"column": "+", "direction": "bidirectional", "rule": "ask"}
    away.map("contact", column_notes="+", direction_notes="npd_to_monday")
    assert draft().fields["notes"]["direction"] == "npd_to_monday"


def test_back_stores_what_is_chosen_and_maps_nothing_yet(away: Wizard) -> None:
    begun(away)
    page = away.map("contact", back="1", direction_phone="npd_to_monday")
    assert "Which boards?" in page
    assert (draft().fields["phone"]["direction"], draft().mapped) == ("npd_to_monday", False)
    away.map("contact", back="1", column_email="")
    assert draft().fields["email"]["column"] == "mail"


def test_an_older_page_takes_nothing_of_a_newer_one_back_unsaid(away: Wizard) -> None:
    """Two tabs of one person: each sends all fields, also those that were changed in the other."""
    begun(away)
    older = values_of(away.client.get(START + "map/contact/"), "npd-wizard-map-form")
    away.map("contact", rule_phone="npd_wins", direction_role_title="npd_to_monday")
    saved = draft().fields
    mine = {"rule-email": "monday_wins", "direction-role_title": "npd_to_monday"}
    answer = away.client.post(START + "map/contact/", older | mine, follow=True)
    assert "The set-up was changed after this page was shown" in words_of(answer.content.decode())
    assert draft().fields == saved
    away.post("map/contact/", **values_of(answer, "npd-wizard-map-form") | mine)
    now = {key: one["rule"] for key, one in draft().fields.items()}
    assert (now["phone"], now["email"]) == ("npd_wins", "monday_wins")
    assert draft().fields["role_title"] == saved["role_title"]


def test_hostile_titles_stay_text(wizard: Wizard) -> None:
    board = a_board(
        wizard.monday, HOSTILE, ("mail", HOSTILE, "email"), ("odd", HOSTILE, "timeline"),
        items=[{"name": HOSTILE, "mail": mail("ann@x.org")}],
    )  # fmt: skip
    Contact.objects.create(name=HOSTILE + "!", email="bob@x.org")
    wizard.boards(contact=board)
    assert draft().fields["email"]["column"] == "mail"
    wizard.map("contact")
    wizard.work()
    for end in ("boards/", "map/contact/", "match/", "plan/"):
        html = wizard.client.get(START + end).content.decode()
        assert "<img src=x" not in html, end
        assert "&lt;img src=x" in html, end


def test_the_country_of_numbers_without_one_is_chosen_beside_the_phone(away: Wizard) -> None:
    begun(away)
    assert "United States (US)" in away.get("map/contact/")
    assert phone_region() == "US"
    away.post("map/contact/", back="1", phone_region="DE")
    assert phone_region() == "DE"
    away.post("map/contact/", back="1", phone_region="XX")
    assert phone_region() == "DE"

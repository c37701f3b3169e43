"""Ctrl+K finds pages and records: only what the person may view, and at most twenty of a list."""

from urllib.parse import quote_plus

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from config.navigation import HELP_RESULTS
from npd.models import Contact, Organization
from sync.admin.record_pages import COMMAND_RESULTS
from tests.admin import states
from tests.support.people import signed_in, staff_who_may

pytestmark = pytest.mark.django_db
CONTACTS = "/admin/npd/contact/"
# What people typed who looked for something.
WORDS = [
    "undo", "quota", "restore", "trash", "delete", "archived", "duplicate", "merge", "conflict",
    "csv", "excel", "export", "upload", "webhook", "token", "api", "password", "passkey",
    "invite", "user", "role", "permission", "slack", "teams", "alert", "pause", "resume",
    "stop", "unlink", "filter", "mapping", "column", "direction", "schedule", "backup", "upgrade",
    "error", "failed", "queue", "dark", "erase", "country", "history", "email", "approve",
    "reject", "owner", "admin", "search", "report", "gdpr", "privacy", "template", "language",
    "unsubscribe", "whatsapp group", "dashboard", "shortcuts", "one way", "errors", "sandbox", "hubspot",
    "sync off", "time zone", "switch board", "another board", "who changed", "log in",
]  # fmt: skip
FOR_READERS = {"Notifications", "API tokens", "Two-factor authentication", "Home", "Settings", "Sign out", "Back up"}


def results(client: Client, term: str) -> list[tuple[str, str]]:
    answer = client.get("/admin/search/", {"s": term, "extended": "1"})
    assert answer.status_code == 200
    return [(result.title, result.description) for result in answer.context["results"]]


def titles(client: Client, term: str) -> list[str]:
    return [title for title, _ in results(client, term)]


def listed(client: Client, term: str) -> list[str]:
    return [str(record) for record in client.get(CONTACTS, {"q": term}).context["cl"].result_list]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("muller", "Zoë Müller"), ("MULLER", "ZOË MÜLLER"), ("wlizlo", "Grupa Wlizło"), ("lovas", "Løvås Hansen"),
        ("strasse", "Straße 5"), ("aegir", "Ægir"), ("nguyen", "Nguyễn Văn"), ("muller zoe", "Zoë Müller"),
        ("a.b", "Ä.B"), ("muller", "Ｍüller"), ("ﾃｽﾄ", "テスト"),
    ],
)  # fmt: skip
def test_names_are_found_without_their_marks_and_in_either_order(browser: Client, typed: str, name: str) -> None:
    states.contact(name)
    states.contact("Zo* Axb Muler")
    assert titles(browser, typed) == listed(browser, typed) == [name]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Jenifer Adams", ["Jennifer Adams"]), ("jantch", ["Petra Jäntsch"]), ("Adams Jennifr", []),
        ("zzz", []), ("jennifer adms", ["Jennifer Adams"]), ("x" * 300, []),
    ],
)  # fmt: skip
def test_a_mistyped_name_is_asked_for_where_nothing_is_found(browser: Client, typed: str, meant: list[str]) -> None:
    for name in ("Jennifer Adams", "Petra Jäntsch", "Bo"):
        states.contact(name)
    assert titles(browser, typed) == meant
    page = browser.get(CONTACTS, {"q": typed}).content.decode()
    assert [name for name in meant if f"q={quote_plus(name)}" not in page] == []
    assert ("Did you mean" in page) is bool(meant)


@pytest.mark.parametrize(
    ("typed", "page", "address"),
    [
        ("NOTIF", "Notifications", "/admin/notifications/"),
        ("pause", "Pause", "/admin/"),
        ("token", "API tokens", "/admin/sync/apitoken/"),
        ("jobs", "Jobs", "/admin/sync/syncqueue/"),
        ("connection", "Monday connection", "/admin/sync/boardlink/set-up/"),
        ("quota", "Monday connection", "/admin/sync/boardlink/set-up/"),
        ("country", "Monday connection", "/admin/sync/boardlink/set-up/"),
        ("phone", "Monday connection", "/admin/sync/boardlink/set-up/"),
        ("monday", "Monday connection", "/admin/sync/boardlink/set-up/"),
        ("mapping", "Boards", "/admin/sync/boardlink/"),
        ("health", "Home", "/admin/"),
        ("import", "Import contacts", "/admin/npd/contact/import/"),
        ("add contact", "Add contact", "/admin/npd/contact/add/"),
        ("deleted", "Deleted records", "/admin/sync/tombstone/"),
        ("two-factor", "Two-factor authentication", "/accounts/2fa/"),
        ("time zone", "Settings", "/admin/settings/"),
        ("dark mode", "Settings", "/admin/settings/"),
        ("log out", "Sign out", "/accounts/logout/"),
        ("holiday", "Pause", "/admin/"),
        ("archive", "Deleted records", "/admin/sync/tombstone/"),
        ("recycle bin", "Deleted records", "/admin/sync/tombstone/"),
        ("revert", "Activity", "/admin/sync/activityline/"),
        ("setup", "Boards", "/admin/sync/boardlink/"),
        ("new board", "Boards", "/admin/sync/boardlink/"),
        ("colleague", "Users", "/admin/auth/user/"),
        ("duplicates", "Home", "/admin/"),
        ("not synced", "Home", "/admin/"),
        ("outage", "Home", "/admin/"),
        ("backup", "Back up", "/admin/help/howto/run-on-real-servers.md#back-up"),
    ],
)
def test_a_page_is_found_once_by_the_words_that_people_use_by_who_may_open_it(
    browser: Client, typed: str, page: str, address: str
) -> None:
    def pages(client: Client) -> list[tuple[str, str]]:
        found = client.get("/admin/search/", {"s": typed, "extended": "1"}).context["results"]
        assert all(result.description for result in found)
        return [(result.title, result.link.partition("?")[0]) for result in found]

    found = pages(browser)
    assert found[0] == (page, address)
    assert len({link for _, link in found}) == len(found)
    may_open = page in FOR_READERS
    assert ((page, address) in pages(signed_in(staff_who_may("view_contact")))) == may_open


def test_a_page_comes_before_records_that_have_its_word_inside_their_names(browser: Client) -> None:
    states.contact("Christopher Buchanan")
    states.contact("Stop Motion")
    found = titles(browser, "stop")
    assert found[:2] == ["Stop Motion", "Pause"]
    assert "Christopher Buchanan" in found[2:]


def test_help_named_by_the_word_comes_before_other_help_on_its_page(browser: Client) -> None:
    found = [title for title in titles(browser, "import") if title.startswith("How")]
    assert found[0] == "How do I import a file?"


def test_a_word_that_people_use_finds_a_page_or_a_section_of_help(browser: Client) -> None:
    assert [typed for typed in WORDS if not titles(browser, typed)] == []


@pytest.mark.parametrize(
    ("typed", "section"), [("undo", "How do I take it back?"), ("quota", "When something is wrong")]
)
def test_help_is_found_by_its_text_after_the_pages(browser: Client, typed: str, section: str) -> None:
    found = [title for title, about in results(browser, typed) if about.startswith("Help")]
    assert section in found
    assert len(found) <= HELP_RESULTS + 5


@pytest.mark.parametrize("typed", ["040/123 456", "+49 40 123456", "0049 40 123456", "(040) 12345", "٠٤٠١٢٣٤٥٦"])
def test_a_phone_number_is_found_however_it_is_typed_and_stored(browser: Client, typed: str) -> None:
    stored = ["+4940123456", "+49 (40) 123-456", "040 / 12 34 56", "\u202a+49 (0)40 123456"]
    names = [states.contact(f"Ann {number}", phone=phone).name for number, phone in enumerate(stored)]
    states.contact("Bo", phone="+4940123999")
    rows = browser.get("/api/v1/contacts/", {"search": typed}).json()["results"]
    assert titles(browser, typed) == listed(browser, typed) == [row["name"] for row in rows] == names


def test_each_word_is_in_one_of_the_fields_an_email_or_the_organization_too(browser: Client) -> None:
    organization = Organization.objects.create(name="Autohaus Berg")
    states.contact("Ann Example", email="ann@npd.example", organization=organization)
    states.contact("Ann Other")
    for term in ("ann autohaus", "example ANN", "ann@npd"):
        assert "Ann Example" in titles(browser, term), term
        assert "Ann Other" not in titles(browser, term), term


def test_email_and_organization_tell_two_of_one_name_apart(browser: Client) -> None:
    for email, organization in (("ann@x.org", "Acme"), ("ann@y.org", "Zeta")):
        states.contact("Ann", email=email, organization=Organization.objects.create(name=organization))
    found = {about for _, about in results(browser, "ann")}
    assert found == {"Contact · ann@x.org · Acme", "Contact · ann@y.org · Zeta"}


def test_what_is_named_so_comes_first_organizations_before_their_people(browser: Client) -> None:
    organization = Organization.objects.create(name="Watson", aliases=["WA", "Watson Group"])
    for number in range(COMMAND_RESULTS):
        states.contact(f"Ann {number:02}", organization=organization)
    states.contact("Watson")
    states.contact("Bo Watson")
    Organization.objects.create(name="The Watson Trust")
    found = results(browser, "watson")
    assert [title for title, _ in found[:5]] == ["Watson", "Watson", "The Watson Trust", "Bo Watson", "Ann 00"]
    assert [about for _, about in found[:2]] == ["Organization · WA, Watson Group", "Contact"]


def test_who_is_named_so_comes_before_who_only_works_there(browser: Client) -> None:
    organization = Organization.objects.create(name="Parks-Adams")
    for number in range(COMMAND_RESULTS):
        states.contact(f"Ann {number:02}", organization=organization)
    states.contact("Mrs. Jennifer Adams")
    assert titles(browser, "adams")[:3] == ["Parks-Adams", "Mrs. Jennifer Adams", "Ann 00"]


def test_of_each_list_twenty_records_are_shown(browser: Client) -> None:
    for number in range(31):
        states.contact(f"Berg {number}")
    assert len(titles(browser, "berg")) == COMMAND_RESULTS
    assert len(listed(browser, "berg")) == 31


def test_what_is_gone_or_not_allowed_any_more_is_not_found_again(client: Client) -> None:
    record = states.contact("Zoë")
    reader = staff_who_may("view_contact")
    client.force_login(reader)
    assert titles(client, "Zoë") == ["Zoë"]
    reader.user_permissions.clear()
    # Somebody who may add contacts finds their list, but nobody in it.
    reader.user_permissions.add(Permission.objects.get(codename="add_contact"))
    assert titles(client, "Zoë") == []
    reader.user_permissions.add(Permission.objects.get(codename="view_contact"))
    assert titles(client, "Zoë") == ["Zoë"]
    Contact.objects.filter(pk=record.pk).delete()
    assert titles(client, "Zoë") == []


@pytest.mark.parametrize("typed", ["acme corp", "Acme Corp\u200b", "corp acme", '"acme corp"'])
def test_what_a_name_shows_is_found(browser: Client, typed: str) -> None:
    names = {"Ac\u200bme Corp", "Acme\u00a0Corp", "Acme\ufeff  Corp", "Acme\u2009 Corp"}
    for name in (*names, "Acme"):
        states.contact(name)
    rows = browser.get("/api/v1/contacts/", {"search": typed}).json()["results"]
    assert set(listed(browser, typed)) == {row["name"] for row in rows} == names

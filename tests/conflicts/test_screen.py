import json
import re
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from conflicts.models import SyncConflict
from conflicts.reports import ConflictReport, FieldConflict
from npd.models import Contact
from sync.models import SyncMetadata
from tests.admin import states
from tests.admin.forms import answer_to_question
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, record
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db
LIST = "/admin/conflicts/syncconflict/"


def screen(conflict: SyncConflict, name: str = "screen") -> str:
    key = conflict.pk if name == "screen" else f"conflict:{conflict.pk}"
    return reverse(f"admin:conflicts_syncconflict_{name}", args=[key])


def form(*fields: FieldConflict, **picks: str) -> dict[str, str]:
    """What a browser sends from a screen with these fields."""
    shown_values = {f"seen-{field.key}": json.dumps([field.npd, field.monday]) for field in fields}
    return shown_values | {name.replace("__", "-"): value for name, value in picks.items()}


def text_of(response: Any) -> str:
    # Marks stand inside values, which read as they are without them.
    unseen = r"(?s)<script.*?</script>|<style.*?</style>|</?(?:ins|del|wbr)>"
    page = re.sub(unseen, "", response.content.decode())
    return " ".join(re.sub(r"<[^>]+>", " ", page).split()).replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("+442079460812", "Written as “+44 20 7946 0812”"),
        ("+44 20 7946 0812", ""),
        ("<b>call her</b>", "Phone: “&lt;b&gt;call her&lt;/b&gt;”"),
    ],
)
def test_a_typed_value_is_shown_as_it_will_be_written(
    browser: Client, conflict: SyncConflict, typed: str, words: str
) -> None:
    preview = browser.post(f"{screen(conflict)}?preview=phone", {"value-phone": typed}).content.decode()
    assert preview.startswith(words)
    assert bool(preview) == bool(words)
    assert browser.post(f"{screen(conflict)}?preview=nothing").status_code == 404
    assert conflict_of(Contact.objects.get()).is_open


def test_the_screen_shows_both_sides_and_the_base(browser: Client, conflict: SyncConflict, contact: Contact) -> None:
    states.boards()
    agreed = states.agreed(contact, "71")
    base = {key: agreed[key] for key in ("name", "email", "phone", "notes")}
    SyncMetadata.objects.create(
        entity_type="contact", entity_id=str(contact.pk), base=base,
        blocked_fields={"notes": {"reason": "Monday refused it."}}, altered={}, conflicts={},
    )  # fmt: skip
    response = browser.get(screen(conflict))
    text, page = text_of(response), response.content.decode()
    for value in (PHONE.npd, PHONE.base, PHONE.monday, ROLE.npd, ROLE.base, ROLE.monday):
        assert str(value) in text
    assert "2 fields differ" in text
    assert "Notes: Monday refused it." in text
    folded = page[page.index('<details class="cfl-equal">') : page.index("</details>", page.index("cfl-equal"))]
    assert "2 fields are equal on both sides" in " ".join(folded.split())
    assert "grace@navy.test" in folded
    assert "Notes" not in folded
    assert "Phone" not in folded

    Contact.objects.filter(pk=contact.pk).update(email="hopper@navy.test")  # which no pass has seen yet
    assert "1 field is equal on both sides" in text_of(browser.get(screen(conflict)))


def test_the_status_turns_from_applied_to_settled(browser: Client, conflict: SyncConflict, contact: Contact) -> None:
    assert 'data-state="open"' in browser.get(screen(conflict, "status")).content.decode()
    picks = form(PHONE, ROLE, pick__phone="monday", pick__role_title="custom", value__role_title="Admiral")
    response = browser.post(screen(conflict), picks)
    assert (response.status_code, response["Location"]) == (302, screen(conflict))
    applying = browser.get(screen(conflict, "status")).content.decode()
    assert ('data-state="applying"' in applying, "hx-get" in applying) == (True, True)
    assert "Saving" in text_of(browser.get(screen(conflict)))
    record(finding(contact, applied={"phone": PHONE.monday, "role_title": "Admiral"}))
    settled = browser.get(screen(conflict, "status"))
    assert ('data-state="settled"' in settled.content.decode(), "hx-get" in settled.content.decode()) == (True, False)
    assert (
        "Resolved: Phone is “+44 20 7946 0999”, written in NPD; Role is “Admiral”, written in NPD and on Monday."
    ) in text_of(settled)


def test_a_stale_screen_keeps_the_choices(browser: Client, conflict: SyncConflict, contact: Contact) -> None:
    moved = replace(PHONE, monday="+44 20 7946 1111")
    record(finding(contact, moved, ROLE))
    picks = form(PHONE, ROLE, pick__phone="monday", pick__role_title="custom", value__role_title="Rear Admiral")
    response = browser.post(screen(conflict), picks)

    assert response.status_code == 409
    page, html = text_of(response), response.content.decode()
    assert "Nothing was stored." in page
    assert "+44 20 7946 1111" in page
    assert "Changed since you opened this page. It was: +44 20 7946 0999" in page
    assert re.search(r'name="pick-phone"\s+value="monday"\s+checked', html)
    assert re.search(r'name="pick-role_title"\s+value="custom"\s+checked', html)
    assert 'value="Rear Admiral"' in html
    assert SyncConflict.objects.get().resolution is None

    again = browser.post(screen(conflict), form(moved, ROLE, pick__phone="monday"))
    assert again.status_code == 302


def test_an_invalid_typed_value_is_explained_at_its_field_and_kept(browser: Client, conflict: SyncConflict) -> None:
    picks = form(PHONE, ROLE, pick__phone="custom", value__phone="no digits", pick__role_title="npd")
    response = browser.post(screen(conflict), picks)
    html = response.content.decode()
    assert response.status_code == 400
    assert "no digits" in text_of(response)
    assert 'value="no digits"' in html
    assert re.search(r'name="value-phone"[^>]*aria-describedby="[^"]*problem-phone"[^>]*aria-invalid="true"', html)
    assert re.search(r'name="pick-role_title"\s+value="npd"\s+checked', html)
    assert SyncConflict.objects.get().resolution is None


def test_a_late_choice_stays_readable_beside_the_resolution(browser: Client, conflict: SyncConflict) -> None:
    browser.post(screen(conflict), form(PHONE, ROLE, pick__phone="npd", pick__role_title="npd"))
    picks = form(PHONE, ROLE, pick__phone="monday", pick__role_title="custom", value__role_title="Rear Admiral")
    late = browser.post(screen(conflict), picks)

    assert late.status_code == 409
    page = text_of(late)
    assert f"You had chosen Phone {PHONE.monday} Role Rear Admiral" in page
    assert page.count("Chosen: NPD's value.") == 2
    assert "a typed value" not in page
    assert "You had chosen" not in text_of(browser.get(screen(conflict)))


def test_the_live_part_of_an_open_screen_names_who_chose(browser: Client, conflict: SyncConflict) -> None:
    live_part = '<div id="cfl-state" data-live '
    before, _, _ = browser.get(screen(conflict)).content.decode().partition('id="cfl-form"')
    assert f"{live_part}>" in before

    browser.post(screen(conflict), form(PHONE, ROLE, pick__phone="npd", pick__role_title="npd"))
    _, _, after = browser.get(screen(conflict)).content.decode().partition(live_part)
    by = SyncConflict.objects.get().stored_resolution.by
    assert after.startswith("data-over>")
    assert f"Chosen by {by}." in after.partition("</div>")[0]


def test_a_forged_seen_value_is_stale(browser: Client, conflict: SyncConflict) -> None:
    for forged in ("not json", "7", "[1]", "[" * 100_000, '{"a": 1}'):
        response = browser.post(screen(conflict), {"seen-phone": forged, "pick-phone": "npd"})
        assert response.status_code == 409


def test_a_rejected_choice_stays_chosen(browser: Client, conflict: SyncConflict, contact: Contact) -> None:
    browser.post(screen(conflict), form(PHONE, ROLE, pick__phone="npd"))
    record(finding(contact, replace(PHONE, monday="+44 1"), ROLE, rejected={"phone": "The values changed."}))
    response = browser.get(screen(conflict))
    assert "Ada's choice has to be made again. Not saved: The values changed." in text_of(response)
    assert re.search(r'name="pick-phone"\s+value="npd"\s+checked', response.content.decode())


def test_who_may_not_change_the_record_types_no_value_and_reads_why(
    client: Client, ada: User, conflict: SyncConflict
) -> None:
    client.force_login(staff_who_may("view_syncconflict", "change_syncconflict"))
    page = client.get(screen(conflict)).content.decode()
    assert re.search(r'name="pick-phone"\s+value="npd"', page)
    assert 'value="custom"' not in page
    assert len(re.findall(r"<output[^>]*>Choose a side.</output>", page)) == 2
    assert "Only who may change contacts can type a value: Ada." in page
    assert not re.search(r"or type a value|name=\"value-", page)
    typed = form(PHONE, ROLE, pick__role_title="custom", value__role_title="Typed")
    refused = client.post(screen(conflict), typed)
    assert refused.status_code == 403
    assert "Nothing was stored" in text_of(refused)
    assert SyncConflict.objects.get().resolution is None
    assert client.post(screen(conflict), form(PHONE, ROLE, pick__phone="npd")).status_code == 302
    assert SyncConflict.objects.get().resolution


def press_red_button(browser: Client, url: str, question: Any) -> str:
    """Confirm the question by its red button; return the button's label."""
    page = question.content.decode()
    [button] = re.findall(r'<button\s+class="npd-button npd-button-deletes"[^>]*>([^<]*)<', page)
    assert browser.post(url, answer_to_question(page)).status_code == 302
    return str(button.strip())


def test_a_red_button_asks_about_an_option_that_deletes(browser: Client, contact: Contact) -> None:
    about = {"what": "The item was archived.", "options": [
        {"choose": "delete_record", "label": "Delete the record", "effect": "It is deleted."},
        {"choose": "create_item", "label": "Create it again", "effect": "It is created."},
    ]}  # fmt: skip
    record(ConflictReport("contact", contact.pk, "71", "delete", data=about))
    conflict = conflict_of(contact)
    sent = {"option": "delete_record", "seen-record": json.dumps([conflict.question, None]), "resolve": "1"}
    question = browser.post(screen(conflict), sent)
    assert (question.status_code, conflict_of(contact).resolution) == (200, None)
    assert press_red_button(browser, screen(conflict), question) == "Delete the record"
    assert conflict_of(contact).stored_resolution.fields["record"].choose == "delete_record"


@pytest.mark.parametrize(
    "picks", [{"pick__phone": "npd"}, {"pick__phone": "base"}, {"pick__phone": "custom", "value__phone": ""}]
)
def test_a_red_button_guards_emptying(browser: Client, contact: Contact, picks: dict[str, str]) -> None:
    emptied = FieldConflict("phone", None, "", "+44 20 7946 0999")
    record(finding(contact, emptied, ROLE))
    conflict = conflict_of(contact)
    question = browser.post(screen(conflict), form(emptied, ROLE, resolve="1", **picks))
    assert (question.status_code, conflict_of(contact).resolution) == (200, None)
    assert press_red_button(browser, screen(conflict), question) == "Empty Phone on Monday"
    assert conflict_of(contact).resolution is not None

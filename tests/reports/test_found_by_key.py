"""People and firms are found although capitals or invisible characters differ, and nobody is made twice."""

import unicodedata

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npd.models import Contact, Organization
from sync.fields import searches
from sync.kernel.db import fetch_rows
from sync.models import BoardLink, UnmatchedItem
from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions
from sync.monday.text_forms import MATCH_KEY_SQL, match_key, sign_spellings
from tests.files.conftest import confirm, preview
from tests.support.world import World, mail

INVISIBLE = {
    "zero width space": "\u200b",
    "pop direction": "\u202c",
    "byte order mark": "\ufeff",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "Arabic letter mark": "\u061c",
    "combining grapheme joiner": "\u034f",
    "Hangul filler": "\u3164",
    "variation selector": "\ufe0f",
    "tag": "\U000e0041",
    "backspace": "\u0008",
}
each_mark = pytest.mark.parametrize("mark", INVISIBLE.values(), ids=INVISIBLE)


@each_mark
@pytest.mark.parametrize("place", ["{mark}ada@example.org", "ada@example.org{mark}", "ada{mark}@exam{mark}ple.org"])
def test_a_form_takes_an_address_without_what_nobody_sees(mark: str, place: str) -> None:
    ada = Contact(name=f"A{mark}da", email=place.format(mark=mark), phone=f"{mark}+49 171{mark} 1234567")
    ada.full_clean(exclude=["id"], validate_unique=False, validate_constraints=False)
    assert (ada.email, ada.phone, ada.name) == ("ada@example.org", "+49 171 1234567", f"A{mark}da")


ADDRESSES = [
    ("\u202a{}@example.org\ufeff", "{}@example.org", "{}@example.org"),
    ("mailto:ｊ.{}＠ｅｘａｍｐｌｅ．ｏｒｇ", "j.{}@example.org", "j.{}@example.org"),
    ("jo\u0308.{}@example.org", "", ""),
]


@pytest.mark.parametrize(("typed", "on_monday", "stored"), ADDRESSES)
def test_an_address_has_one_form_through_every_door(world: World, typed: str, on_monday: str, stored: str) -> None:
    """Or every door refuses it; Monday takes only ASCII."""
    browser = world.browser(world.administrator("olga"))
    page = {"name": "Ada", "email": typed.format("ada"), "phone": "", "role_title": "", "notes": ""}
    browser.post("/admin/npd/contact/add/", page | {"sync_enabled": "on", "sync_direction": "bidirectional"})
    body = {"name": "Bob", "email": typed.format("bob")}
    browser.post("/api/v1/contacts/", body, content_type="application/json")
    file = preview(browser, f"Name,Email\nCid,{typed.format('cid')}\n", bad_values="refuse")
    if "confirm_form" in file.context:
        confirm(browser, file)
    names = {"Ada": "ada", "Bob": "bob", "Cid": "cid", "Dee": "dee"} if stored else {}
    if on_monday:
        world.add("Dee", email=mail(on_monday.format("dee")))
        world.hear(minutes=3)
    expected = {name: stored.format(text) for name, text in names.items()}
    assert dict(Contact.objects.values_list("name", "email")) == expected
    # Saving it again as a browser sends it changes nothing.
    for record in Contact.objects.all():
        address = on_monday.format(names[record.name])
        assert (
            browser.patch(f"/api/v1/contacts/{record.pk}/", {"email": address}, "application/json").status_code == 200
        )
    assert dict(Contact.objects.values_list("name", "email")) == expected


NAMES = [
    *(f"Acme{mark} Corp" for mark in INVISIBLE.values()),
    *("Acme Corp\ufeff", "Acme\u00a0Corp", "Acme  Corp", "Acme\u2009Corp", "Acme Corp\u00a0", "ACME CORP"),
    *("Ａｃｍｅ　Ｃｏｒｐ", "Acme C\u2060o\u00a0rp".replace("\u00a0", "")),
]  # fmt: skip
CAPITALS = {
    "STRASSE GmbH": "Straße GmbH", "İSTANBUL A.Ş.": "İstanbul A.Ş.", "ΟΔΟΣ": "οδος", "IŞIK": "Işık",
    "CAFÉ": "Cafe\u0301", "ﾃｽﾄ": "テスト", "Acme Co。": "ACME Co.",
}  # fmt: skip


def test_each_way_to_write_a_name_has_one_key() -> None:
    keys = {name: match_key(CAPITALS.get(name, "Acme Corp")) for name in [*NAMES, *CAPITALS]}
    assert {name: match_key(name) for name in keys} == keys


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Acme Corp", "Acme\u200b Corp"), ("O’Brien", "O'Brien"), ("O`Brien", "O'Brien"), ("O–Brien", "O-Brien"),
        ("O'Brien - Sons", "O’Brien - Sons"), ("O'Brien - Sons", "O'Brien – Sons"),
        ("O`Brien — Sons", "O’Brien - Sons"),
        ("Lee-Ray - Sons", "Lee-Ray – Sons"), ("Lee‑Ray – D’Or", "Lee-Ray – D'Or"),
        ("Lee–Ray — Sons", "lee–ray - sons"),
    ],
)  # fmt: skip
def test_an_organization_is_found_by_its_name_in_another_form(world: World, ours: str, theirs: str) -> None:
    # A board whose items don't become records by themselves.
    BoardLink.objects.filter(entity_type="organization").update(creates_records=False)
    world.add(theirs, "organization")
    world.hear(minutes=3)
    if not ours.startswith("Acme"):
        UnmatchedItem.objects.all().delete()  # only the search on the board can find it
    Organization.objects.create(name=ours)
    world.hear(rounds=2, minutes=3)
    [board] = [board for board in world.sandbox.boards() if board["id"] == world.board_id("organization")]
    assert len(board["items"]) == 1


@pytest.mark.parametrize(
    ("creates", "ours", "theirs"),
    [(False, "A@STRAßE.de", "a@XN--strae-oqa.de"), (True, "ann@example.org\u200b", "ann@example.org")],
)
def test_a_person_is_found_by_an_address_in_another_form(world: World, ours: str, theirs: str, creates: bool) -> None:
    BoardLink.objects.filter(entity_type="contact").update(creates_records=creates)
    ann = world.contact("Ann Lee", email=ours)
    world.add("Ann Lee", email=mail(theirs))
    world.hear(rounds=3, minutes=3)
    assert world.status(ann) == "synced", world.sync_state(ann).note
    assert (len(world.sandbox.items()), Contact.objects.count()) == (1, 1)
    assert (ann.email, world.values(ann)["email"]) == (ours, theirs)


def test_a_number_in_two_forms_comes_to_rest(world: World) -> None:
    ours, theirs, rewritten, edited = "+44 (0)20 7946 0018", "+442079460018", "020 7946 0018", "020 7946 0099"
    country = "GB"
    world.add("Ann Lee", email=mail("ann@example.org"), phone={"phone": theirs, "countryShortName": country})
    firm = Organization.objects.create(name="Firm", address_country=country)
    ann = world.contact("Ann Lee", email="ann@example.org", phone=ours, organization=firm)
    world.hear(ann, rounds=3, minutes=3)
    assert (world.status(ann), ann.phone, world.values(ann)["phone"]) == ("synced", ours, theirs)
    writes = world.calls("mutation")
    world.edit(ann, "phone", {"phone": rewritten, "countryShortName": country})
    world.hear(ann, minutes=3)
    assert (world.status(ann), ann.phone, world.calls("mutation")) == ("synced", ours, writes)
    world.save(ann, phone=edited)
    world.hear(ann, minutes=3)
    phone = make_converter("phone", ConverterOptions(region=country))
    assert world.status(ann) == "synced"
    assert phone.canonical_local({"phone": ann.phone}) == phone.canonical_local({"phone": edited})
    assert phone.canonical_local({"phone": world.values(ann)["phone"]}) == phone.canonical_local({"phone": edited})


@each_mark
def test_a_label_that_looks_the_same_is_the_label(mark: str) -> None:
    options = ConverterOptions(column_settings={"labels": [{"id": 1, "index": 1, "label": "Won", "name": "Won"}]})
    status, dropdown = make_converter("status", options), make_converter("dropdown", options)
    for label in (f"Won{mark}", f"W{mark}on"):
        assert status.canonical_local({"s": label}) == "Won"
        assert status.to_remote({"s": label}, None) == {"label": "Won"}
        assert dropdown.to_remote({"s": [label]}, None) == {"labels": ["Won"]}
    assert status.to_remote({"s": "WON"}, None) == {"label": "Won"}


def key_in_the_database(text: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {MATCH_KEY_SQL.replace('__TEXT__', '%s::text')}", [text])
        return str(cursor.fetchone()[0])


LETTERS = st.text(st.sampled_from("HJTWYAEIOUhjtwyaißΣσςŊǰẖ"), min_size=1, max_size=2)
MARKS = st.lists(st.sampled_from("\u0300\u0301\u0308\u030a\u030c\u0323\u0327\u0331"), max_size=2, unique=True)
# No language writes a mark at a dotted İ or a dotless ı, so no letter gets the dot as a further mark either.
WRITTEN = st.tuples(LETTERS, MARKS.map("".join)).map("".join) | st.sampled_from("İı")


@given(st.lists(WRITTEN, min_size=1, max_size=3).map("".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_key_is_the_same_in_capitals_and_composed_or_not(db: None, text: str) -> None:
    key = match_key(text)
    assert {match_key(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKD")} == {key}
    assert {match_key(text.lower()), match_key(key)} == {key}
    assert key_in_the_database(text) == key
    assert key_in_the_database(unicodedata.normalize("NFD", text)) == key


def test_what_shapes_letters_and_pictures_stays_in_labels() -> None:
    status = make_converter("status", ConverterOptions())
    for label in ("👩\u200d💻 Development", "❤\ufe0f", "می\u200cشود"):
        assert status.canonical_local({"s": label}) == label


APOSTROPHES = [letter for letter in map(chr, range(0x110000)) if "APOSTROPHE" in unicodedata.name(letter, "")]
DASHES = [letter for letter in map(chr, range(0x110000)) if unicodedata.category(letter) == "Pd"]
TYPED = ["’", "ʼ", "′", "`", "´", "‘", "‐", "‑", "–", "—", "−", "\ufe63"]


SIGNED = ["O{}Brien & Söhne", "Acme {} Nova", "{}x", "x{}", "o{}brien@x.org", "a @ b{}", "@{}", "{}@x"]


def test_the_database_makes_the_same_keys(db: None) -> None:
    texts = [*NAMES, *CAPITALS, *CAPITALS.values(), "e\u200b\u0301", "\u1e9e", "a\u3000b", "x\x1cy", "", " ", "ﬁ m²"]
    texts += [text.format(sign) for text in SIGNED for sign in {*APOSTROPHES, *DASHES, *TYPED}]
    key = MATCH_KEY_SQL.replace("__TEXT__", "name")
    keys = fetch_rows(f"SELECT name, {key} FROM unnest(%s::text[]) AS name", [texts])
    assert dict(keys) == {text: match_key(text) for text in texts}


def test_of_a_name_a_call_asks_for_few_spellings() -> None:
    assert sign_spellings("Lee & Sons") == {"Lee & Sons"}
    assert sign_spellings("O'Brien") == {"O'Brien", "O’Brien"}
    assert len(sign_spellings("O`Brien‑Lee’s — D′Or − Sons-Co")) == 27
    assert sign_spellings("o'brien-lee@x.org") == {"o'brien-lee@x.org"}


@pytest.mark.parametrize("sign", TYPED)
def test_a_name_is_one_however_its_apostrophe_or_dash_is_typed_and_an_address_is_not(sign: str) -> None:
    plain = "'" if sign in TYPED[:6] else "-"
    assert match_key(f"O{sign}Brien") == match_key(f"O{plain}BRIEN")
    assert match_key(f"Acme A{sign} Nova") == match_key(f"ACME A{plain} Nova")
    assert (match_key(f"o{sign}brien@x.org") == match_key(f"o{plain}brien@x.org")) == (sign in "´\ufe63")


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("O’Brien", "O'Brien"), ("O'Brien", "O´Brien"), ("O´Brien", "o’brien"), ("L'Oréal", "L’Oréal"),
        ("Acme - Nova", "Acme – Nova"),
        ("Acme—Nova", "Acme-Nova"), ("Müller", "Mueller"), ("Müller", "Muller"), ("Mueller", "Müller"),
        ("MÜLLER", "mueller"), ("Böhm-Lüders", "Boehm‐Lueders"), ("Søren", "Soren"),
        ("Strasse", "Straße"), ("STRASSE", "straße"), ("O`Brien", "O'Brien"), ("O`Brien", "O’Brien"),
        ("O’Brien - Sons", "o'brien – sons"), ("O'Brien - Sons", "O’Brien - Sons"),
        ("Lee-Ray – Sons", "lee‑ray - sons"),
    ],
)  # fmt: skip
def test_a_name_is_found_however_it_is_typed(db: None, stored: str, typed: str) -> None:
    Organization.objects.create(name=stored)
    Organization.objects.create(name="Other - O'Neil & Moeller")
    found = Organization.objects.filter(searches.search_condition(Organization, ["name"], typed))
    assert [record.name for record in found] == [stored]

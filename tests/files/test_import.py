"""The import of contacts and organizations: previewed, confirmed, reported, undone."""

import csv
import re
from contextlib import suppress
from datetime import timedelta
from html import unescape
from typing import Any

import pghistory.models
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.utils.timezone import now
from tablib import Dataset

from npd.models import Contact, Organization
from npd.personal_data import Person, erase
from sync.kernel.db import fetch_rows
from sync.models import ActivityLine, ApiQuota, BoardLink, CacheEntry
from sync.operations import record_files
from sync.operations.file_formats import CSV, MAX_ROWS
from sync.operations.import_columns import places_of_fields, suggest_columns
from sync.operations.record_files import lock_imports, resource_of
from tests.admin.test_records import words_of
from tests.files.conftest import changes, confirm, counts, imported, messages, preview, refused, warnings
from tests.files.test_formats import workbook
from tests.support.people import staff_who_may
from tests.support.waiting import in_background, somebody_waits_for_us, wait_for

pytestmark = pytest.mark.django_db


def contact(name: str, email: str = "", **values: Any) -> Contact:
    return Contact.objects.create(name=name, email=email, **values)


ACTIVITY = "/admin/sync/activityline/"
COPY = "If it lacks something, copy it there."


def names() -> set[str]:
    return set(Contact.objects.values_list("name", flat=True))


# --- matching ---


def test_a_row_is_matched_by_its_npd_id_else_its_email_else_its_name(browser: Client) -> None:
    ann, bob, cid = contact("Ann", "ann@x.org"), contact("Bob", "bob@x.org"), contact("Cid")
    file = f"NPD ID,Name,Email,Role\n{ann.pk},Anne,anne@x.org,A\n,Bob,BOB@X.org,B\n,Cid,,C\n,Dan,dan@x.org,D\n"
    assert imported(browser, file) == "Imported: 1 new, 3 changed, 0 unchanged. Undo…"
    for record, expected in (
        (ann, ("Anne", "anne@x.org", "A")),
        (bob, ("Bob", "bob@x.org", "B")),
        (cid, ("Cid", "", "C")),
    ):
        record.refresh_from_db()
        assert (record.name, record.email, record.role_title) == expected
    assert Contact.objects.get(name="Dan").role_title == "D"


def test_what_nobody_can_tell_is_refused_with_the_reason_and_the_others_are_imported(browser: Client) -> None:
    contact("Twin", "twin@x.org")
    contact("Twin too", "twin@x.org")
    file = (
        "NPD ID,Name,Email,Phone\n"
        "00000000-0000-0000-0000-000000000001,Gone,,\n"
        ",Twin,twin@x.org,\n"
        ",Eve,eve@x.org,\n"
        ",Eve again,eve@x.org,\n"
        ",Eve,eve@x.org,\n"
        ",Bob,not an address,\n"
        ",Dan,dan@x.org,call me maybe\n"
        ",,nobody@x.org,\n"
        ",Too,many@x.org,,cells\n"
    )
    page = preview(browser, file, bad_values="refuse")
    assert counts(page) == {"new": 1, "invalid": 8}
    reasons = refused(page)
    assert "There is no contact with this NPD ID" in reasons[2]
    assert "2 contacts have this email." in reasons[3]
    assert reasons[5] == f"Row 4 is about the same contact, and only that row is imported. {COPY}"
    assert reasons[6] == f"Row 4 is about the same contact, and only that row is imported. {COPY}"
    assert reasons[7] == "Email: Enter a valid email address. It reads “not an address”."
    assert reasons[8].startswith("Phone: “call me maybe” is not a phone number")
    assert reasons[9] == "Name: It is empty."
    assert "more cells than there are titles" in reasons[10]
    html = page.content.decode()
    assert html.index("Not imported: 8") < html.index("New: 1")
    assert "Row 10, Too, many@x.org" in html
    answer = confirm(browser, page)
    assert "8 rows were not imported" in messages(answer)
    assert names() == {"Twin", "Twin too", "Eve"}


def test_rows_with_the_same_invalid_address_are_not_called_the_same_person(browser: Client) -> None:
    page = preview(browser, "Name,Email\nAnn,none\nBob,none\n", bad_values="refuse")
    assert set(refused(page).values()) == {"Email: Enter a valid email address. It reads “none”."}
    assert counts(preview(browser, "Name,Email\nAnn,none\nBob,none\n")) == {"new": 2}


def test_an_unknown_company_is_left_out_with_a_warning_or_made_where_that_is_ticked(browser: Client) -> None:
    nova = Organization.objects.create(name="Nova")
    Organization.objects.create(name="Acme")
    Organization.objects.create(name="ACME")
    file = (
        "Name,Email,Company\nAnn,ann@x.org,nova\nBob,bob@x.org,Unknown\n"
        "Cid,cid@x.org,acmé\nDan,dan@x.org,Acme\nEve,eve@x.org,unknown\n"
    )
    page = preview(browser, file)
    assert warnings(page)[3] == "Organization: No organization is called “Unknown”. It is left out."
    html = page.content.decode()
    assert "With a value left out: 3" in html
    assert html.count("No organization is called “Unknown”") == 1, "said once"
    assert b'"unknown","Left out: Organization: ' in browser.get(page.context["refused_url"]).content
    hint = "Organizations that aren't in NPD: 2. Their rows are imported without them. To create them, press"
    assert hint in words_of(html)
    assert hint not in words_of(preview(browser, file, create_missing="on").content.decode())
    imported(browser, file)
    assert Contact.objects.get(name="Ann").organization == nova
    assert Contact.objects.get(name="Bob").organization is None
    assert Organization.objects.count() == 3
    assert "2 changed" in imported(browser, file.replace("acmé", ""), create_missing="on")
    unknown = Organization.objects.get(name="Unknown")
    assert {Contact.objects.get(name=name).organization for name in ("Bob", "Eve")} == {unknown}


def test_of_a_row_that_is_refused_no_warning_says_that_it_is_imported(browser: Client) -> None:
    file = "Name,Email,Company\nBob,not an address,Unknown\nEve,eve@x.org,Unknown\n"
    page = preview(browser, file, bad_values="refuse")
    assert (set(refused(page)), warnings(page)) == ({2, 3}, {})
    assert refused(page)[3] == "Organization: No organization is called “Unknown”."
    assert "Their rows are not imported. To create them" in words_of(page.content.decode())
    assert set(refused(preview(browser, file, bad_values="refuse", create_missing="on"))) == {2}


def test_a_row_that_may_be_about_another_person_has_a_warning_and_can_be_left_out(browser: Client) -> None:
    ann, bob = contact("Ann", "ann@x.org"), contact("Bob", "bob@x.org")
    cid, eve = contact("Cid", "cid@x.org"), contact("Eve")
    Organization.objects.create(name="Nova", aliases=["N"])
    file = (
        "NPD ID,Name,Email,Role,Company\n"
        f"{ann.pk},Anne,ann@x.org,Chair,\n,Bo,bob@x.org,,Orbit\n,Cid,,Cook,\n,eve,,Chef,\n"
        f",Dan,dan@x.org,,\n{ann.pk.hex[::-1]},,,,\n"
    )
    page = preview(browser, file, create_missing="on")
    expected = {
        2: "Found by its NPD ID, and renamed.",
        3: "Found by its email, and renamed.",
        4: "Found by its name alone. The contact of this name in NPD has the email cid@x.org.",
        5: "Found by its name alone. The contact of this name in NPD has no email.",
    }
    assert warnings(page) == expected
    html = words_of(page.content.decode())
    assert "Changed with a warning: 4" in html
    assert "New: 1" in html
    assert "Changed:" not in html
    said = messages(confirm(browser, page, leave_out_warned="on"))
    left_out = "1 row was not imported. 4 rows with a warning were left out."
    assert said == f"Imported: 1 new, 0 changed, 0 unchanged. {left_out} Undo…"
    assert names() == {"Ann", "Bob", "Cid", "Eve", "Dan"}
    assert not Organization.objects.filter(name="Orbit").exists()
    assert imported(browser, file).startswith("Imported: 0 new, 4 changed, 1 unchanged.")
    for record, name in ((ann, "Anne"), (bob, "Bo"), (cid, "Cid"), (eve, "Eve")):
        record.refresh_from_db()
        assert record.name == name
    unwarned = "Name,Email,Role\nANNE,ann@x.org,Head\nNova,nova@x.org,\n"
    assert "leave_out_warned" not in preview(browser, unwarned).context["confirm_form"].fields
    assert not warnings(preview(browser, "Name,Aliases\nNova,O\n", "organization"))


def test_a_relation_to_another_record_of_the_same_name_is_a_change(browser: Client) -> None:
    first, second = contact("Ann", "ann@x.org"), contact("Ann", "ann@y.org")
    Organization.objects.create(name="Nova", billing_contact=first)
    said_of_it = imported(browser, "Name,Billing contact\nNova,ann@y.org\n", "organization")
    assert said_of_it == "Imported: 0 new, 1 changed, 0 unchanged. Undo…"
    assert Organization.objects.get().billing_contact == second


def test_a_cell_of_several_lines_gives_all_its_aliases(browser: Client) -> None:
    imported(browser, 'Name,Aliases\nNova,"Nova Ltd\nNova AG; ""a;b"""\n', "organization")
    assert Organization.objects.get().aliases == ["Nova Ltd", "Nova AG", "a;b"]


def test_only_who_may_add_organizations_lets_an_import_make_them(client: Client, person: User) -> None:
    client.force_login(staff_who_may("view_contact", "add_contact", "change_contact", "import_contact"))
    page = preview(client, "Name,Email,Company\nBob,bob@x.org,Unknown\n", create_missing="on")
    assert "to create them" not in page.content.decode().lower()
    confirm(client, page)
    assert not Organization.objects.exists()


def test_only_fields_that_differ_are_written_and_an_empty_cell_leaves_a_field_alone(browser: Client) -> None:
    ann = contact("Ann", "ann@x.org", phone="+49 30 12345678", role_title="CEO", notes="a\r\nb")
    file = 'Name,Email,Phone,Role,Notes\n ann ,ANN@x.org,+493012345678,#N/A,"a\nb"\n'
    assert counts(preview(browser, file)) == {"skip": 1}
    assert "confirm_form" not in preview(browser, file).context
    assert changes(preview(browser, "Email,Role\nann@x.org,Chair\n")) == {2: [("Role", "CEO", "Chair")]}
    assert changes(preview(browser, "Email,Role\nann@x.org,\n", clear_empty="on")) == {2: [("Role", "CEO", "")]}
    imported(browser, "Email,Role,Phone\nann@x.org,n/a,\n", clear_empty="on")
    ann.refresh_from_db()
    assert (ann.role_title, ann.phone, ann.name) == ("", "", "Ann")


@pytest.mark.parametrize("vain", ["00000000", "0171 12"])
def test_what_is_no_whole_number_does_not_count_beside_one(browser: Client, vain: str) -> None:
    imported(browser, f"Name,Mobile,Business phone\nAnn,{vain},+49 30 901820\nBob,{vain[:4]} 567,\n")
    assert Contact.objects.get(name="Ann").phone == "+49 30 901820"


def test_what_a_file_says_and_an_import_does_not_use_is_counted(browser: Client) -> None:
    contact("Ann", "ann@x.org", phone="+49 30 901820", role_title="CEO")
    phones = "+49 171 1234567,+49 30 901820"
    file = f"Name,Email,Role,Mobile,Home phone\nAnn,ann@x.org,,{phones}\nBob,,,{phones}\nCid,,,+49 30 901820,-\n"
    file += f"Dan,,,+49 171 1234567,+49 (171) 12345-67\n,,,{phones}\n"  # the same number, and a row that is refused
    page = preview(browser, file)
    text = words_of(page.content.decode())
    assert "With several values for a field: 2" in text
    assert "Row 2, Ann Phone: another column counts, so “+49 30 901820” isn't imported." in text
    assert (
        "Phone: another column counts, so “+49 30 901820” isn't imported."
        in browser.get(page.context["refused_url"]).content.decode()
    )
    empty = "1 empty cell leaves its field in NPD unchanged."
    assert empty in text
    assert empty not in words_of(preview(browser, file, clear_empty="on").content.decode())
    said = imported(browser, file)
    assert (empty in said, "2 rows have several values for a field." in said) == (True, True)
    page = preview(browser, "Name,Email,Email 2\nAnn,ann@x.org,b@x.org\nDan,A@x.org,a@x.org\n")
    assert "With several values for a field: 1" in page.content.decode()


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        # No title says what these are, but their cells do.
        (
            "Nom;Joindre;Ligne\nAnn;a@x.org;+49 30 901820\nBob;b@x.org;\n",
            {"Email": "a@x.org", "Phone": "+49 30 901820"},
        ),
        ("Name;Antwort 2\nAnn;a@x.org\n", {"Email": "a@x.org"}),
        # An owner is the same for several; a fax is no phone; a column that has another value, too, is neither.
        ("Name;Betreuer\nAnn;o@x.org\nBob;o@x.org\n", {}),
        ("Name;Telefax\nAnn;+49 30 901820\n", {}),
        ("Name;Info\nAnn;a@x.org\nBob;on leave\n", {}),
        ("Name;Email;Second\nAnn;a@x.org;b@x.org\n", {"Email": "a@x.org"}),
        # Address books in other languages, and forms.
        (
            "Voornaam;Achternaam;E-mail 1 - Waarde;Telefoon 1 - Waarde\nAnn;Ace;a@x.org;+49 30 901820\n",
            {"Email": "a@x.org", "Phone": "+49 30 901820"},
        ),
        ("Ihr Name;Ihre E-Mail-Adresse;Ihre Telefonnummer\nAnn;;+49 30 901820\n", {"Phone": "+49 30 901820"}),
        ("Your name;Your email;Your phone number\nAnn;a@x.org;\n", {"Email": "a@x.org"}),
        ("Prénom;Nom;Première adresse électronique\nAnn;Ace;a@x.org\n", {"Email": "a@x.org"}),
        ("名;姓;メール 1 - 値\nAnn;Ace;a@x.org\n", {"Email": "a@x.org"}),
        ("Nome;Cognome;Telefono (uff.)\nAnn;Ace;+49 30 901820\n", {"Phone": "+49 30 901820"}),
    ],
)
def test_no_address_or_number_is_dropped_because_its_title_is_unknown(
    browser: Client, file: str, fields: dict[str, str]
) -> None:
    row = changes(preview(browser, file))[2]
    assert {label: after for label, _, after in row if label in ("Email", "Phone")} == fields


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("Nova (https://www.notion.so/Nova-1a2b?pvs=21)", "Nova"),
        ("Nova (https://www.notion.so/N-1), Orbit (https://www.notion.so/O-2)", "Nova"),
        ("Nova GmbH &amp; Co. KG", "Nova GmbH & Co. KG"),
        ("M&uuml;ller &#38; Sons", "Müller & Sons"),
        ("Nova (Berlin)", "Nova (Berlin)"),
        ("AT&T; Orbit", "AT&T"),
        ("R&D &copy Co", "R&D &copy Co"),
    ],
)
def test_an_organization_has_its_name_without_what_programs_write_beside_it(
    browser: Client, cell: str, name: str
) -> None:
    page = preview(browser, f'Name,Email,Company\nAnn,a@x.org,"{cell}"\n', create_missing="on")
    assert page.context["result"].made_names == [name]
    Organization.objects.create(name=cell)
    page = preview(browser, f'Name,Email,Company\nAnn,a@x.org,"{cell}"\n', create_missing="on")
    assert page.context["result"].made_names == []


@pytest.mark.parametrize(
    ("file", "is_ticked"),
    [
        ("Name,Email,Role\nAnn,,Cook\n", True),
        ("Name,Email,Role\nEve,,Cook\n", False),  # nothing is replaced
        ("Name,Email,Role\nAnn,ann@x.org,Cook\nBob,b@x.org,\nBob,b@y.org,\n", False),
        ("Name,Role\nAnn,Cook\n", False),  # a file without emails is about names
    ],
)
def test_rows_with_a_warning_are_left_out_unless_a_person_unticks_it_where_a_namesake_would_lose_a_value(
    browser: Client, file: str, is_ticked: bool
) -> None:
    contact("Ann", "ann@x.org", role_title="CEO")
    contact("Eve", "eve@x.org")
    page = preview(browser, file)
    html = page.content.decode()
    assert ("leavesOut: true" in html, "It is ticked because" in html) == (is_ticked, is_ticked)


def test_cells_that_stand_for_no_value_are_named(browser: Client) -> None:
    file = "Name,Email,Phone,Role\nAnn,ann@x.org,n/a,n/a\nBob,bob@x.org,n/a,Chair\n,,-,\n"
    assert "Cells that count as empty: 3, which read “n/a”." in preview(browser, file).content.decode()
    assert "count as empty" not in preview(browser, "Name,Phone\nAnn,\n").content.decode()


@pytest.mark.parametrize(
    ("titles", "role"),
    [
        ("Titel,Vorname,Nachname", ""),
        ("Titre,Prénom,Nom", ""),
        ("Title,First Name,Last Name", ""),
        ("Vorname,Nachname,Titel", "Ace"),
        ("Name,Titre,Age", "Ann"),
    ],
)
def test_a_title_is_a_role_unless_it_stands_before_the_first_name(browser: Client, titles: str, role: str) -> None:
    [diff] = changes(preview(browser, f"{titles}\nDr.,Ann,Ace\n")).values()
    assert [new for name, _, new in diff if name == "Role"] == [role] * bool(role)


# --- columns ---


# Each program's columns, as title=cell; “¶” ends a line above them.
BOOKS = """
Google: First Name=Ann|Last Name=Ace|Organization Name=Nova|Organization Title=Chair|E-mail 1 - Label=* Work|
  E-mail 1 - Value=ann@x.org|Phone 1 - Value=+49 30 901820 ::: +49 30 1
Google with two addresses: First Name=Ann|Last Name=Ace|Organization Name=Nova|Organization Title=Chair|
  E-mail 1 - Value=ann@x.org|E-mail 2 - Value=a@y.org|Phone 1 - Value=+49 30 901820
Freshsales: First name=Ann|Last name=Ace|Emails=ann@x.org|Work phone=+49 30 901820|Accounts=Nova|Title=Chair
Brevo: EMAIL=ann@x.org|LASTNAME=Ace|FIRSTNAME=Ann|SMS=4930901820|COMPANY=Nova|JOB_TITLE=Chair
Russian: Имя=Ann|Фамилия=Ace|Эл. почта=ann@x.org|Телефон=+49 30 901820|Компания=Nova|Должность=Chair
Chinese: 姓名=Ann Ace|邮箱=ann@x.org|手机=+49 30 901820|公司=Nova|职位=Chair
Google before 2024: Name=Ann Ace|Given Name=Ann|Family Name=Ace|E-mail 1 - Value=ann@x.org|
  Phone 1 - Value=+49 30 901820|Organization 1 - Name=Nova|Organization 1 - Title=Chair
Outlook: Title=Dr.|First Name=Ann|Last Name=Ace|Company=Nova|Job Title=Chair|Business Phone=+49 30 901820|
  Home Phone=+49 30 1|Mobile Phone=|E-mail 2 Address=ann@x.org
Outlook with an account: First Name=Ann|Last Name=Ace|Company=Nova|Job Title=Chair|Account=ann|
  Primary Phone=+49 30 1111111|Home Phone=+49 30 2222222|Mobile Phone=+49 30 901820|E-mail Address=ann@x.org
Outlook in German: Anrede=Frau|Vorname=Ann|Nachname=Ace|Firma=Nova|Position=Chair|Telefon geschäftlich=+49 30 1|
  Telefon (privat)=+49 30 2|Mobiltelefon=+49 30 901820|E-Mail-Adresse=ann@x.org
Thunderbird: First Name=Ann|Last Name=Ace|Display Name=Ann Ace|Primary Email=ann@x.org|Work Phone=+49 30 901820|
  Job Title=Chair|Organization=Nova
Apple: First=Ann|Last=Ace|Organization=Nova|Job title=Chair|Phone (mobile)=|Phone (work)=+49 30 901820|
  Email (work)=ann@x.org
HubSpot: Record ID=151|First Name=Ann|Last Name=Ace|Email=ann@x.org|Phone Number=|Mobile Phone Number=+49 30 901820|
  Associated Company=Nova|Job Title=Chair
Pipedrive: Person - Name=Ann Ace|Person - Organization=Nova|Person - Email - Home=ann@x.org|
  Person - Phone - Work=+49 30 901820|Person - Job title=Chair
Zoho: Record Id=zcrm_1|Contact Owner=Kim|First Name=Ann|Last Name=Ace|Account Name.id=zcrm_3|Account Name=Nova|
  Email=ann@x.org|Title=Chair|Home Phone=+49 30 901820|Other Phone=+49 30 1
Salesforce: ID=003|FIRSTNAME=Ann|LASTNAME=Ace|TITLE=Chair|ACCOUNTID=001|ACCOUNT.NAME=Nova|EMAIL=ann@x.org|PHONE=|
  MOBILEPHONE=+49 30 901820
LinkedIn: Notes:¶"Some, as you know, are missing."¶¶First Name=Ann|Last Name=Ace|Email Address=ann@x.org|Company=Nova|
  Position=Chair|Phone 1=+49 30 901820
vCards as CSV: FN=Ann Ace|EMAIL;type=INTERNET;type=WORK=ann@x.org|TEL;type=CELL;type=pref=+49 30 901820|ORG=Nova|
  TITLE=Chair
Exchange: DisplayName=Ann Ace|GivenName=Ann|Surname=Ace|PrimarySmtpAddress=ann@x.org|BusinessPhones=+49 30 901820|
  MobilePhone=|Company=Nova|Title=Chair
a form: Full Name (required)=Ann Ace|E-Mail *=ann@x.org|Telefon (privat)=+49 30 901820|Firmenname=Nova|Position=Chair
Spanish: Nombre=Ann|Apellidos=Ace|Correo=ann@x.org|Empresa=Nova|Cargo=Chair|Teléfono=+49 30 901820
Xing: Vorname=Ann|Nachname=Ace|Firma=Nova|Position=Chair|E-Mail (geschäftlich)=ann@x.org|Telefon-Nr. (geschäftlich)=|
  Telefon (mobil)=+49 30 901820
French: Prénom=Ann|Nom=Ace|Courriel=ann@x.org|Société=Nova|Fonction=Chair|Téléphone=+49 30 901820
Italian: Nome=Ann|Cognome=Ace|Email=ann@x.org|Azienda=Nova|Ruolo=Chair|Cellulare=+49 30 901820
Google in German: Vorname=Ann|Nachname=Ace|Name der Organisation=Nova|Titel der Organisation=Chair|
  E-Mail 1 – Wert=ann@x.org|Telefon 1 – Wert=+49 30 901820
Outlook in French: Titre=M.|Prénom=Ann|Nom=Ace|Société=Nova|Titre1=Chair|Téléphone (bureau)=+49 30 901820|Tél. mobile=|
  Adresse de messagerie=ann@x.org|Type de messagerie=SMTP
HubSpot in German: Vorname=Ann|Nachname=Ace|E-Mail=ann@x.org|Telefonnummer=+49 30 901820|
  Primary Associated Company=Nova|Jobtitel=Chair
Odoo's fields: External ID=x|Name=Ann Ace|Email=ann@x.org|Phone=+49 30 901820|Parent Company/Name=Nova|
  Job Position=Chair
Swedish: Förnamn=Ann|Efternamn=Ace|Företag=Nova|Befattning=Chair|E-post=ann@x.org|Telefon=+49 30 901820
Odoo in German: Anzeigename=Ann Ace|E-Mail=ann@x.org|Telefon=|Mobil=+49 30 901820|Zugehöriges Unternehmen=Nova|
  Stellenbezeichnung=Chair
HubSpot in German, another way: Vorname=Ann|Nachname=Ace|E-Mail=ann@x.org|Mobiltelefonnummer=+49 30 901820|
  Unternehmensname=Nova|Berufsbezeichnung=Chair
Attio: Record ID=x|Name > First name=Ann|Name > Last name=Ace|Email addresses=ann@x.org|Company > Name=Nova|
  Job title=Chair|Phone numbers=+49 30 901820
Outlook in Spanish: Tratamiento=Sra.|Nombre=Ann|Apellidos=Ace|Organización=Nova|Puesto=Chair|
  Teléfono del ayudante=+49 30 111111|Teléfono del trabajo=+49 30 901820|Número de teléfono particular 2=+49 30 222222|
  Dirección de correo electrónico=ann@x.org|Tipo de correo electrónico=SMTP
Apple's iPhone: Name=Ann Ace|Company=Nova|Job title=Chair|Phone (home)=+49 30 111111|Phone (iPhone)=+49 30 901820|
  Email (work)=ann@x.org
sevDesk: Kunden-Nr.=7|Vorname=Ann|Nachname=Ace|Organisation=Nova|Position=Chair|E-Mail (privat)=a@y.org|
  E-Mail (Arbeit)=ann@x.org|Tel. privat=+49 30 111111|Tel. geschäftl.=+49 30 901820
Exact: Voornaam=Ann|Achternaam=Ace|Naam bedrijf=Nova|Functieomschrijving=Chair|E-mailadres werk=ann@x.org|
  Privételefoon=+49 30 111111|Telefoonnummer werk=+49 30 901820
one column for the whole name: Name, Vorname=Ace, Ann|Fa.=Nova|Funktion/Rolle=Chair|E-Mail geschäftl.=ann@x.org|
  Tel. g.=+49 30 111111|Mobil priv.=+49 30 901820
a French list: Nom et prénom=Ann Ace|Nom de l'entreprise=Nova|Poste occupé=Chair|Adresses e-mail=ann@x.org|
  Tél. fixe=+49 30 111111|Mobile pro=+49 30 901820|Télécopie (bureau)=+49 30 2
Google with labels: First Name=Ann|Last Name=Ace|Organization Name=Nova|Organization Title=Chair|
  E-mail 1 - Label=* Home|E-mail 1 - Value=a@y.org|E-mail 2 - Label=Work|E-mail 2 - Value=ann@x.org|
  Phone 1 - Label=Work Fax|Phone 1 - Value=+49 30 111111|Phone 2 - Label=* Work|Phone 2 - Value=+49 30 222222|
  Phone 3 - Label=Mobile|Phone 3 - Value=+49 30 901820
Google with labels in German: Vorname=Ann|Nachname=Ace|Name der Organisation=Nova|Titel der Organisation=Chair|
  E-Mail 1 – Label=* Arbeit|E-Mail 1 – Wert=ann@x.org|Telefon 1 – Label=Privat|Telefon 1 – Wert=+49 30 111111|
  Telefon 2 – Label=Geschäftlich|Telefon 2 – Wert=+49 30 901820
vCards as CSV, each kind in a column: FN=Ann Ace|EMAIL;TYPE=INTERNET=ann@x.org|TEL;TYPE=HOME=+49 30 111111|
  TEL;TYPE=CELL=+49 30 901820|ORG=Nova|TITLE=Chair
Outlook's rare numbers: First Name=Ann|Last Name=Ace|Company=Nova|Job Title=Chair|Callback=+49 30 111111|
  Car Phone=+49 30 222222|Radio Phone=+49 30 333333|Business Phone=+49 30 901820|E-mail Address=ann@x.org
Outlook's rare numbers in German: Vorname=Ann|Nachname=Ace|Firma=Nova|Position=Chair|Autotelefon=+49 30 901820|
  Rückmeldung=|Pager=+49 30 111111|E-Mail-Adresse=ann@x.org
CiviCRM: Contact Type=Individual|Sort Name=Ace|First Name=Ann|Last Name=Ace|Current Employer=Nova|Job Title=Chair|
  Home-Phone-Phone=+49 30 111111|Phone-Mobile=+49 30 901820|Email=ann@x.org
Shopify: Customer ID=7|First Name=Ann|Last Name=Ace|Email=ann@x.org|Default Address Company=Nova|
  Default Address Phone=+49 30 901820|Title=Chair
Xero: AccountNumber=7|FirstName=Ann|LastName=Ace|EmailAddress=ann@x.org|POCity=Kiel|FaxNumber=+49 30 111111|
  DDINumber=+49 30 222222|MobileNumber=+49 30 901820|Company=Nova|Position=Chair
WooCommerce: customer_id=7|billing_first_name=Ann|billing_last_name=Ace|billing_company=Nova|billing_email=ann@x.org|
  billing_phone=+49 30 901820|shipping_phone=+49 30 111111|role=Chair
WooCommerce's orders: First Name (Billing)=Ann|Last Name (Billing)=Ace|Company (Billing)=Nova|Customer Email=ann@x.org|
  Phone (Billing)=+49 30 901820|Job=Chair
Czech: Jméno=Ann|Příjmení=Ace|Společnost=Nova|Pracovní pozice=Chair|Služební telefon=+49 30 111111|
  Číslo mobilu=+49 30 901820|E-mail=ann@x.org
Polish: Imię=Ann|Nazwisko=Ace|Nazwa firmy=Nova|Funkcja=Chair|Telefon stacjonarny=+49 30 111111|
  Nr tel. kom.=+49 30 901820|Adres e-mail=ann@x.org
Odoo: Display Name=Ann Ace|Email=ann@x.org|Phone=|Mobile=+49 30 901820|Related Company=Nova|Job Position=Chair
"""
ADDRESS_BOOKS = dict(book.split(": ", 1) for book in BOOKS.replace("\n  ", "").strip().splitlines())


@pytest.mark.parametrize("program", ADDRESS_BOOKS)
def test_what_address_books_export_is_read_whole(browser: Client, program: str) -> None:
    above, _, columns = ADDRESS_BOOKS[program].replace("¶", "\n").rpartition("\n")
    titles, cells = zip(*(column.rsplit("=", 1) for column in columns.split("|")), strict=True)
    text = CSV().export_data(Dataset(cells, headers=titles))
    [diff] = changes(preview(browser, f"{above}\n{text}", create_missing="on", region="DE")).values()
    expected = {
        "Name": "Ann Ace",
        "Email": "ann@x.org",
        "Phone": "+49 30 901820",
        "Organization": "Nova",
        "Role": "Chair",
    }
    assert {name: new for name, _, new in diff} == expected


@pytest.mark.parametrize(
    ("titles", "first"),
    [
        ("Phone,Mobile", "Mobile"), ("Telefon,Handynummer", "Handynummer"), ("Primary Phone,SMS", "SMS"),
        ("Phone Number,Mobile Phone (work)", "Mobile Phone (work)"), ("電話,携帯電話", "携帯電話"),
        ("Telefone,Telemóvel", "Telemóvel"), ("Telefoon,Mobiele telefoon", "Mobiele telefoon"),
        ("Home number,Work phone", "Work phone"), ("Business Phone,Phone", "Phone"), ("Phone 2,Phone", "Phone"),
    ],
)  # fmt: skip
def test_mobile_numbers_count_before_those_of_no_kind_and_of_offices_and_homes(titles: str, first: str) -> None:
    columns = titles.split(",")
    places = places_of_fields(Contact, columns, suggest_columns(Contact, columns))["phone"]
    assert (columns[places[0]], len(places)) == (first, 2)


@pytest.mark.parametrize(
    ("labels", "phone", "others"),
    [
        ("Work Fax,", "", "1"), ("Pager,", "", "1"), ("Home Fax,Pager", "", "12"), ("WorkFax,Work", "2", "1"),
        ("* Home Fax,Other", "2", "1"), ("Telefax,Home", "2", "1"), ("Home,Work", "2", "1"), ("Desk,", "1", ""),
        (",Mobile", "2", "1"), ("Desk,Work", "2", "1"), (",Work", "1", "2"),
    ],
)  # fmt: skip
def test_the_number_of_a_fax_or_a_pager_is_no_phone_but_said(
    browser: Client, labels: str, phone: str, others: str
) -> None:
    first, second = labels.split(",")
    other = "+49 30 2222222" if second else ""
    titles = "Name,Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value"
    page = preview(browser, f"{titles}\nAnn,{first},+49 30 1111111,{second},{other}\n")
    [diff] = changes(page).values()
    expected = [] if not phone else [f"+49 30 {phone * 7}"]
    assert [new for name, _, new in diff if name == "Phone"] == expected
    numbers = "; ".join(f"+49 30 {other * 7}" for other in others)
    assert (f"so “{numbers}” isn't imported." in page.content.decode().replace("&#x27;", "'")) == bool(others)


def test_texts_beside_values_that_are_all_different_are_no_labels(browser: Client) -> None:
    rows = "".join(f"P{number},L{number},+49 30 {1_000_000 + number}\n" for number in range(1_001))
    page = preview(browser, f"Name,Phone 1 - Label,Phone 1 - Value\n{rows}")
    assert "“Phone 1 - Label” have more than 1,000 different texts" in str(page.context["form"].errors)


@pytest.mark.parametrize(
    ("titles", "fields"),
    [
        ("Kunde;Ort;Ansprechpartner", ["name", "address_city", ""]),
        ("Kunden-Nr.;Kundenname;Kontakt", ["", "name", ""]), ("Betreuer;Vor- und Nachname", ["", ""]),
        ("Firma 1;Straße;Ort;Ansprechpartner", ["name", "address_street", "address_city", ""]),
        ("Company;Full name", ["name", ""]), ("Kunde;Vor- und Nachname", ["name", ""]),
        ("Firma;Contact name", ["name", ""]),
        ("Kunde;Name Ansprechpartner;Kontaktperson", ["name", "", ""]), ("Firma;Ansprechpartner 1", ["name", ""]),
        ("Account;Company", ["", "name"]), ("Account;City", ["name", "address_city"]),
        ("Customer;Company", ["", "name"]), ("Client;City", ["name", "address_city"]),
    ],
)  # fmt: skip
def test_no_organization_is_named_after_a_person(titles: str, fields: list[str]) -> None:
    assert suggest_columns(Organization, titles.split(";")) == fields


@pytest.mark.parametrize(
    "titles",
    [
        "Nombre;Primer apellido", "Primer nombre;Apellidos", "Nombre de pila;Apellido", "Nombre(s);Apellido(s)",
        "Nombres;Apellidos", "Jméno;Příjmení", "Křestní jméno;Příjmení", "Nome;Cognome", "Nome di battesimo;Cognome",
        "Primo nome;Cognome", "Nome;Sobrenome", "Primeiro nome;Último nome", "Nome próprio;Apelido",
        "Nome próprio;Nome de família", "Imię;Nazwisko", "Pierwsze imię;Nazwisko", "Imiona;Nazwisko",
        "Voornaam;Familienaam", "Roepnaam;Achternaam", "Voornaam;Naam", "Voornamen;Achternaam", "Prénom(s);Nom",
    ],
)  # fmt: skip
def test_first_and_last_names_are_known_in_other_languages(titles: str) -> None:
    assert suggest_columns(Contact, titles.split(";")) == ["first_name", "last_name"]
    assert suggest_columns(Contact, titles.split(";")[::-1]) == ["last_name", "first_name"]


@pytest.mark.parametrize("title", ["Kunde", "Kundenname", "Customer name", "Client"])
def test_a_customer_is_the_organization_of_a_person(title: str) -> None:
    assert suggest_columns(Contact, ["Ansprechpartner", title, "E-Mail"]) == ["name", "organization", "email"]


@pytest.mark.parametrize(
    "title",
    [
        "Primary location > {}", "Organization - Postal address - {}", "Organization - {} of Address", "Address 1: {}",
        "address.{}", "Default Address {}", "billing_{}", "{} (Billing)", "PO{}", "Headquarters {}",
        "Rechnungsadresse {}", "Anschrift - {}",
    ],
)  # fmt: skip
def test_a_part_of_an_address_is_known_whatever_address_it_is_of(title: str) -> None:
    parts = ["Street", "City", "State", "Postcode", "Country"]
    fields = ["address_street", "address_city", "address_state", "address_zip", "address_country"]
    assert suggest_columns(Organization, ["Name", *map(title.format, parts)]) == ["name", *fields]


def test_the_parts_of_addresses_of_attio_and_pipedrive_are_known() -> None:
    attio = ("Record", "Description", "Primary location > Line 1", "Primary location > Line 2")
    assert suggest_columns(Organization, attio) == ["name", "notes", "address_street", ""]
    of_address = ["Street/road name", "City/town/village/locality", "State/county", "Region", "ZIP/Postal code"]
    titles = [f"Organization - {part} of Address" for part in of_address]
    fields = ["address_street", "address_city", "address_state", "", "address_zip"]
    assert suggest_columns(Organization, ["Organization - Name", *titles]) == ["name", *fields]


@pytest.mark.parametrize(
    "title",
    [
        "Account No.", "Name address", "Address type", "IP address", "Country code", "Job description", "Kontakt-Nr.",
        "Phone 1 - Label", "Name Assistent", "Assistant's Phone", "E-mail Display Name", "Post", "Company ID",
        "Fax-Nummer", "Tipo de correo electrónico", "Home Address", "Zentrale/Fax", "Kunden-Nr.",
    ],
)  # fmt: skip
def test_a_title_that_only_looks_like_a_known_one_is_not_suggested(title: str) -> None:
    assert suggest_columns(Contact, ["Name", title]) == ["name", ""]


@pytest.mark.parametrize(
    ("titles", "name"),
    [
        ("Name, Vorname", "Ace, Ann"), ("Last Name / First Name", "Ace,Ann"), ("Nom, prénom", "Ann Ace"),
        ("Nome e cognome", "Ann Ace"), ("Apellidos, Nombre", "Ace, Ann"), ("Vor- und Nachname", "Ann Ace"),
        ("Jméno a příjmení", "Ann Ace"), ("Imię i nazwisko", "Ann Ace"), ("Nombre y apellido(s)", "Ann Ace"),
        ("Voor- en achternaam", "Ann Ace"), ("Fornavn og etternavn", "Ann Ace"),
    ],
)  # fmt: skip
def test_a_column_of_whole_names_gives_the_first_name_first(browser: Client, titles: str, name: str) -> None:
    assert changes(preview(browser, f"{titles};Email\n{name};ann@x.org\n"))[2][0] == ("Name", "", "Ann Ace")
    contact("Ace, Ann")
    page = preview(browser, f"{titles};Email\nAce, Ann, Dr.;ann@x.org\n")
    assert changes(page)[2][0] == ("Name", "", "Ace, Ann, Dr.")
    chosen = ["last_first", "last_first", "email"]
    page = go_on(browser, choose(browser, 'A,B,Email\n"Ace, Ann",Bob,a@x.org\n'), columns=chosen)
    assert changes(page)[2][0] == ("Name", "", "Ann Ace")
    assert "so “Bob” isn&#x27;t imported." in page.content.decode()


# --- the three steps ---


def choose(client: Client, content: str | bytes, **choices: Any) -> Any:
    """Choose a file in the first step, and return the page of the second."""
    return preview(client, content, step="read", **choices)


def go_on(client: Client, page: Any, kind: str = "contact", **choices: Any) -> Any:
    """Send the second step's page with these choices."""
    form = page.context["choices_form"]
    sent = {name: form.get_initial_for_field(form.fields[name], name) or "" for name in form.fields}
    columns = [name for _, _, name in page.context["columns"]]
    address = f"/admin/npd/{kind}/import/?{page.request['QUERY_STRING']}"
    return client.post(address, {**sent, "columns": columns} | choices, follow=True)


def test_each_step_is_a_page_to_which_a_browser_can_go_back(browser: Client) -> None:
    page = choose(browser, "Name,Email,Colour\nAnn,ann@x.org,red\n")
    columns_url = page.redirect_chain[-1][0]
    page = go_on(browser, page, columns=["name", "email", "notes"])
    [(preview_url, status)] = page.redirect_chain
    assert (status, changes(browser.get(preview_url))) == (302, changes(page))
    assert [name for _, _, name in browser.get(columns_url).context["columns"]] == ["name", "email", "notes"]
    link = re.search(r'href="([^"]+)">Change columns and choices', page.content.decode())
    assert link
    again = browser.get(f"/admin/npd/contact/import/{unescape(link[1])}")
    assert [name for _, _, name in again.context["columns"]] == ["name", "email", "notes"]
    confirm(browser, page)
    again = browser.get(preview_url)
    assert "Choose it again." in str(again.context["form"].errors)
    assert "Choose it again." in browser.get(f"{preview_url}0").content.decode()
    assert browser.get(page.context["confirm_form"].initial["step"]).status_code == 404


def test_each_column_shows_its_first_values_and_can_go_elsewhere(browser: Client) -> None:
    file = "Name,Email,Remark 2,Handy,Colour\nAnn,ann@x.org,Chair,+49 30 901820,red\nBob,bob@x.org,,,blue\n"
    page = choose(browser, file)
    assert page.context["columns"][2:] == [
        ("Remark 2", "Chair", "notes"), ("Handy", "+49 30 901820", "phone"), ("Colour", "red, blue", ""),
    ]  # fmt: skip
    columns = ["name", "email", "role_title", "", "notes"]
    page = go_on(browser, page, columns=columns)
    assert changes(page)[2][-2:] == [("Role", "", "Chair"), ("Notes", "", "red")]
    assert page.context["result"].ignored == ["Handy"]
    confirm(browser, page)
    assert [name for _, _, name in choose(browser, file).context["columns"]] == columns
    assert (
        "matched by their name alone"
        in go_on(browser, page=choose(browser, file), columns=["name", "", "", "", ""]).content.decode()
    )


@pytest.mark.parametrize(
    ("kind", "titles", "columns", "note"),
    [
        ("contact", "Name,Phone", "name,phone", "No column goes to Email: rows are matched by their name alone"),
        ("contact", "Vorname,Tel", "first_name,phone", "No column goes to Email: rows are matched by their name alone"),
        ("contact", "NPD ID,Name", "id,name", ""),
        ("contact", "Name,Email", "name,email", ""),
        ("contact", "Name,Email", ",", "No column goes to Email, Name or NPD ID, so none tells which contact"),
        ("contact", "Phone,Role", "phone,role_title", "No column goes to Email, Name or NPD ID"),
        ("organization", "Name,City", ",address_city", "No column goes to Name or NPD ID, so none tells which org"),
        ("organization", "Name,City", "name,address_city", ""),
    ],
)
def test_columns_that_tell_no_record_are_named_with_what_follows(
    browser: Client, kind: str, titles: str, columns: str, note: str
) -> None:
    page = choose(browser, f"{titles}\nAnn,Bob\n", kind=kind)
    page = go_on(browser, page, kind, columns=columns.split(","))
    notes = words_of(page.content.decode())
    assert (note in notes, "No column" in notes) == (True, bool(note))
    if "or NPD ID" in note:
        # The second step again, as it was.
        assert [name for _, _, name in page.context["columns"]] == columns.split(",")
    else:
        assert "result" in page.context


def test_of_several_columns_the_first_filled_one_counts(browser: Client) -> None:
    home, mobile, office = "+49 30 1111111", "+49 171 3333333", "+49 30 2222222"
    file = f"Name,Home phone,Mobile,Business phone\nA,{home},,{office}\nB,{home},,\nC,,{mobile},{office}\n"
    page = preview(browser, file)
    assert [diff[1] for diff in changes(page).values()] == [("Phone", "", phone) for phone in (office, home, mobile)]
    page = choose(browser, "Name,Firma,Company\nA,Nova,\nB,,Orbit\n")
    assert "Organization: in each row the first filled one counts: “Company”, then “Firma”." in page.content.decode()
    page = choose(browser, "Name,Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value\nA,Home,1,Work,2\n")
    assert "the first filled one, by the kind that stands beside it, counts: “Phone 1" in page.content.decode()
    page = preview(browser, "Name,Firma,Company\nA,Nova,\nB,,Orbit\n", create_missing="on")
    assert [diff[-1] for diff in changes(page).values()] == [("Organization", "", firm) for firm in ("Nova", "Orbit")]


@pytest.mark.parametrize(
    ("cell", "address", "others"),
    [
        ("Ann <a@x.org>", "a@x.org", ""), ('"Ace, Ann" <A@X.org>', "A@X.org", ""), ("<mailto:a@x.org>", "a@x.org", ""),
        ("a@x.org;", "a@x.org", ""), ("a@x.org (work)", "a@x.org", ""), ("'a@x.org'", "a@x.org", ""),
        ("«a@x.org»", "a@x.org", ""), ("'a@x.org", "a@x.org", ""), ("\u202aa@x.org\u202c", "a@x.org", ""),
        ("nil; o'n@x.org.", "o'n@x.org", ""), ("a@x.org, A@x.org", "a@x.org", ""), ("a@ x.org", "", "valid email"),
        ("a@x.org; b@x.org\nc@x.org", "a@x.org", "“b@x.org; c@x.org” isn't imported."),
    ],
)  # fmt: skip
def test_of_a_cell_with_an_address_in_it_the_first_address_counts(
    browser: Client, cell: str, address: str, others: str
) -> None:
    quoted = cell.replace('"', '""')
    page = preview(browser, f'Name,Email,Email 2\nAnn,none,"{quoted}"\n')
    assert [new for name, _, new in changes(page)[2] if name == "Email"] == [address] * bool(address)
    said = warnings(page).get(2, "")
    assert (others in said, bool(said)) == (True, bool(others))
    if address:
        Contact.objects.create(name="Ann", email=address)
        assert counts(preview(browser, f'Name,Email\nAnn,"{quoted}"\n')) == {"skip": 1}


@pytest.mark.parametrize(
    ("cell", "phone", "others"),
    [
        ("Tel. 030 901820", "+49 30 901820", ""), ("030 901820 (work);", "+49 30 901820", ""),
        ("callto:+4930901820", "+49 30 901820", ""), ("'030 901820", "+49 30 901820", ""),
        ("030 901820 ext. 5", "+49 30 901820 ext. 5", ""), ("4.9E+11", "", "“4.9E+11” is not a phone number"),
        ("30 901820.0", "+49 30 901820", ""),
        ("030 901820 Durchwahl 5", "+49 30 901820 ext. 5", ""), ("030 901820 poste 12", "+49 30 901820 ext. 12", ""),
        ("030 901820 (ext. 5)", "+49 30 901820 ext. 5", ""), ("4930901820.0", "+49 30 901820", ""),
        ("030 901820 [5]", "", "“030 901820 [5]” is not a phone number"),
        ("(030)901820/21", "+49 30 901820", "only the first one counts, so “21” isn't imported"),
        ("030/901820", "+49 30 901820", ""),
        ("030 901820 / 0171 1234567", "+49 30 901820", "only the first one counts, so “0171 1234567” isn't imported"),
        ("2026-11-20", "", "“2026-11-20” is not a phone number"), ("20.11.2026", "", "is not a phone number"),
        ("20.11.26", "", "is not a phone number"), ("2026-11-20 10:00:00", "", "is not a phone number"),
        ("seit 20.11.2026", "", "is not a phone number"), ("20. 11. 2026", "", "is not a phone number"),
        ("2026/11/20", "", "is not a phone number"), ("20-11-2026", "", "is not a phone number"),
        ("20.11.2026: 030 901820", "+49 30 901820", "“20.11.2026” isn't imported"),
        ("030/90.18.20", "+49 30 901820", ""), ("0201-12-20-26", "+49 201 122026", ""),
        ("0171 1234567\n030 901820", "+49 171 1234567", "only the first one counts, so “030 901820” isn't imported"),
    ],
)  # fmt: skip
def test_of_a_cell_with_a_phone_number_in_it_the_first_number_counts(
    browser: Client, cell: str, phone: str, others: str
) -> None:
    Organization.objects.create(name="Nova", address_country="Germany")
    page = preview(browser, f'Name,Phone,Mobile,Company\nAnn,"{cell}",ask,Nova\n')
    assert [new for name, _, new in changes(page)[2] if name == "Phone"] == [phone] * bool(phone)
    said = warnings(page).get(2, "")
    assert (others in said, bool(said)) == (True, bool(others))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_refused_rows_keep_all_their_cells_and_the_separator(browser: Client, separator: str) -> None:
    rows = ["Name,Email,Company,Role", "Ann,a@x.org,Nova, Inc,Boss,,x", "Bob,none,,", "Cid,c@x.org,,"]
    page = preview(browser, "\n".join(rows).replace(",", separator))
    file = browser.get(page.context["refused_url"]).content
    lines = list(csv.reader(file.decode("utf-8-sig").splitlines(), delimiter=separator))
    assert lines[0] == ["Name", "Email", "Company", "Role", "Reason", "", "", ""]
    assert (lines[1][:4], lines[1][5:]) == (["Ann", "a@x.org", "Nova", "Inc"], ["Boss", "", "x"])
    assert [line[0] for line in lines[1:]] == ["Ann", "Bob"]
    again = preview(browser, file)
    assert set(refused(again)) == {2}
    assert browser.get(again.context["refused_url"]).content == file


def test_a_column_of_reasons_that_is_imported_stays_in_the_file_of_refused_rows(browser: Client) -> None:
    page = go_on(browser, choose(browser, "Name,Email,Reason\nAnn,none,hers\n"), columns=["name", "email", "notes"])
    lines = browser.get(page.context["refused_url"]).content.decode("utf-8-sig").splitlines()
    assert lines[0] == '"Name","Email","Reason","Reason"'
    assert '"hers"' in lines[1]


def test_a_last_column_that_somebody_calls_reason_keeps_its_values_in_the_file_of_refused_rows(browser: Client) -> None:
    file = browser.get(preview(browser, "Name,Email,Reason\nAnn,none,hers\n").context["refused_url"]).content
    assert file.decode("utf-8-sig").splitlines()[0] == '"Name","Email","Reason","Reason"'
    assert '"hers","Left out: Email' in file.decode()
    assert browser.get(preview(browser, file).context["refused_url"]).content == file


def test_a_row_with_several_values_is_said_to_be_imported_with_the_first(browser: Client) -> None:
    cells = '+49 30 901820 oder +49 171 1234567;"Nova; Orbit GmbH"'
    page = preview(browser, f"Name;Email;Phone;Company\nAnn;a@x.org, b@x.org;{cells}\n", create_missing="on")
    assert page.context["result"].made_names == ["Nova"]
    for name in ("Acme", "Zed"):
        Organization.objects.create(name=name)
    page = preview(browser, 'Name,Company\nAnn,"Acme, Zed"\nBob,"Acme, Inc"\n', create_missing="on")
    assert [diff[-1][2] for diff in changes(page).values()] == ["Acme", "Acme, Inc"]
    page = preview(browser, f"Name;Email;Phone;Company\nAnn;a@x.org, b@x.org;{cells}\n", create_missing="on")
    assert "Organization: only the first one counts, so “Orbit GmbH” isn't imported." in warnings(page)[2]
    text = words_of(page.content.decode())
    assert "With several values for a field: 1" in text
    assert "left out" not in text
    refused_rows = browser.get(page.context["refused_url"]).content.decode()
    assert "Left out" not in refused_rows
    assert "Email: only the first one counts, so “b@x.org” isn't imported." in refused_rows
    said = messages(confirm(browser, page))
    assert ("1 row has several values for a field." in said, "left out" in said) == (True, False)


def test_what_a_refused_row_says_is_in_no_count_of_what_others_are_imported_without(browser: Client) -> None:
    cells = "Unknown,0171 1234567"
    file = f"Name,Email,Company,Phone\nAnn,a@x.org,{cells}\n,b@x.org,Other,0171 7654321\nAnn,a@x.org,Third,0171 1\n"
    result = preview(browser, file, region="FR").context["result"]
    assert (result.unknown_names, result.national_numbers) == (1, 1)
    result = preview(browser, file, region="FR", bad_values="refuse").context["result"]
    assert (result.unknown_names, result.national_numbers) == (3, 3)
    said = [" ".join(row.reasons) for row in result.invalid_rows]
    assert [("is called" in text, "not a phone number" in text) for text in said] == [(True, True)] * 3


def test_numbers_of_another_country_lead_to_the_choice_of_the_country(browser: Client) -> None:
    Organization.objects.create(name="Nova", address_country="United States")
    file = "Name;Phone;Company\nAnn;030 901820;Nova\nBob;0171 1234567;Nova\nCid;+49 1;Nova\nDan;ask;Nova\n"
    page = preview(browser, file)
    hint = "Phone numbers that aren't valid in the country of their row: 2."
    assert hint in words_of(page.content.decode())
    assert "press “Change columns and choices” and choose it" in words_of(page.content.decode())
    assert "country of their row" not in preview(browser, file, region="DE").content.decode()
    assert hint in words_of(preview(browser, file, region="FR").content.decode())
    assert hint in words_of(preview(browser, file, region="FR", bad_values="refuse").content.decode())
    assert re.search(
        r"As in the organization, else in the settings \([A-Z][a-z]+", choose(browser, file).content.decode()
    )


def test_refused_rows_can_be_imported_again_as_they_are(browser: Client) -> None:
    page = preview(browser, "Name;Email;Phone\nAnn;ann@;+49 30 901820\n;x@x.org;ask\n")
    file = browser.get(page.context["refused_url"]).content
    confirm(browser, page)
    page = preview(browser, file)
    assert counts(page) == {"skip": 1, "invalid": 1}
    assert browser.get(page.context["refused_url"]).content == file


@pytest.mark.parametrize(
    ("cells", "expected", "reason"),
    [
        ("Bob,b@x.org,one ::: two,", {"Name": "Bob", "Email": "b@x.org", "Notes": "one ::: two"}, ""),
        ("Bob,b@x.org,None,(blank)", {"Name": "Bob", "Email": "b@x.org"}, ""),
        ("Bob,b@x.org,---,-", {"Name": "Bob", "Email": "b@x.org"}, ""),
        (f"Bob,b@x.org,,{'y' * 256}", {"Name": "Bob", "Email": "b@x.org"}, "at most 255 characters"),
        (
            "Ann,none,hi,",
            {"Notes": "hi"},
            "valid email address. It reads “none”. It is left out. Found by its name alone.",
        ),
    ],
)
def test_no_cell_costs_another_one_and_none_goes_unsaid(
    browser: Client, cells: str, expected: dict[str, str], reason: str
) -> None:
    contact("Ann", "ann@x.org")
    page = preview(browser, f"Name,Email,Notes,Company\n{cells}\n", create_missing="on")
    [row] = page.context["result"].valid_rows()
    assert {name: new for name, _, new in row.diff} == expected
    said = " ".join([*(f"{text} It is left out." for text in row.left_out), row.doubt])
    assert (reason in said, bool(said.strip())) == (True, bool(reason))


def test_a_row_that_is_refused_refuses_no_other_about_the_same_person(browser: Client) -> None:
    page = preview(browser, "Name,Email\n,ann@x.org\nAnn,ann@x.org\nAnne,ann@x.org\n")
    assert refused(page) == {
        2: "Name: It is empty.",
        4: f"Row 3 is about the same contact, and only that row is imported. {COPY}",
    }


def test_a_row_that_is_refused_hides_no_change_of_a_later_one_about_the_same_person(browser: Client) -> None:
    contact("Ann", "ann@x.org", role_title="CEO")
    page = preview(browser, "Email,Role,Phone\nann@x.org,Chair,ask\nann@x.org,Chair,\n", bad_values="refuse")
    assert (set(refused(page)), changes(page)) == ({2}, {3: [("Role", "CEO", "Chair")]})


def test_a_web_address_without_its_scheme_gets_https(browser: Client) -> None:
    file = "Name,Website\nNova,www.nova.org/de\nOrbit,http://orbit.org\nBad,ask Ann\n"
    page = preview(browser, file, "organization")
    addresses = ["https://www.nova.org/de", "http://orbit.org"]
    assert [new for diff in changes(page).values() for name, _, new in diff if name == "Inventory"] == addresses
    assert "It reads “ask Ann”." in warnings(page)[4]
    confirm(browser, page, "organization")
    assert counts(preview(browser, file, "organization")) == {"skip": 3}


def test_lines_in_a_cell_are_one_line_of_a_field_that_has_one(browser: Client) -> None:
    file = 'Name,Email,Role,Notes\n"Ann\n Ace",ann@x.org,"Head\r\nof Sales","a\nb"\n'
    expected = [
        ("Name", "", "Ann Ace"),
        ("Email", "", "ann@x.org"),
        ("Role", "", "Head of Sales"),
        ("Notes", "", "a\nb"),
    ]
    page = preview(browser, file)
    assert changes(page)[2] == expected
    confirm(browser, page)
    assert counts(preview(browser, file)) == {"skip": 1}


def test_a_cell_in_which_nobody_sees_anything_is_empty(browser: Client) -> None:
    assert refused(preview(browser, "Name,Email\n\u200b,a@x.org\n")) == {2: "Name: It is empty."}


def test_prices_and_quotation_marks_do_not_tell_the_encoding_of_names(browser: Client) -> None:
    rows = [
        f"Jürgen Müller {n},j{n}@x.org,“Nova”,12 €\n" if n < 3 else f"Ann,a{n}@x.org,„Nova“,1 €\n" for n in range(20)
    ]
    page = choose(browser, ("Name,Email,Colour,Price\n" + "".join(rows)).encode("cp1252"))
    assert "Windows-1252" in page.context["notes"][0]


@pytest.mark.parametrize(
    ("encoding", "text", "likely"),
    [
        ("mac_roman", "Jürgen Weiß-Müller", "Mac Roman"),
        ("cp1252", "Jürgen Weiß-Müller", "Windows-1252"),
        ("cp850", "Jürgen Weiß-Müller", "DOS"),
        ("cp1251", "Иван Петров", ""),
    ],
)
def test_an_encoding_that_is_not_certain_is_shown_and_can_be_chosen(
    browser: Client, encoding: str, text: str, likely: str
) -> None:
    file = f"Name,Email\n{text},j@x.org\n".encode(encoding)
    page = choose(browser, file)
    if likely:
        assert (page.context["columns"][0][1], likely in page.context["notes"][0]) == (text, True)
    assert text in go_on(browser, page, step="read", encoding=encoding).content.decode()
    assert changes(go_on(browser, page, encoding=encoding))[2][0] == ("Name", "", text)
    assert "Show the text in this encoding" in page.content.decode()
    assert "encoding" in [field.name for field in page.context["choices_form"].visible_fields()]


def test_sheets_of_one_layout_are_taken_together_and_a_summary_is_said_to_be_skipped(browser: Client) -> None:
    def fill(book: Any) -> None:
        for title, rows in (
            ("Summary", [["Name", "Total"], *([f"Region {number}", number] for number in range(4))]),
            ("A-M", [["Name", "Email"], ["Ann", "a@x.org"], ["Bob", "b@x.org"]]),
            ("N-Z", [["Name", "E-mail"], ["Zoe", "z@x.org"]]),
        ):
            page = book.create_sheet(title)
            for row in rows:
                page.append(row)
        book.remove(book.worksheets[0])

    file = workbook(fill)
    page = preview(browser, file)
    assert list(changes(page)) == [2, 3, "2 of “N-Z”"]
    assert changes(page)["2 of “N-Z”"] == [("Name", "", "Zoe"), ("Email", "", "z@x.org")]
    assert "Sheets that are imported together: A-M, N-Z." in page.content.decode()
    assert "Sheets that are not imported: Summary." in page.content.decode()
    assert list(changes(go_on(browser, choose(browser, file), sheet="N-Z"))) == [2]


def two_sheets(book: Any) -> None:
    book.active.append(["Name", "Email", "Role"])
    book.active.append(["Ann", "a@x.org", "Chair"])
    book.create_sheet("S2").append(["Role", "Name", "Email"])
    book["S2"].append(["Cook", "Bob", "b@x.org"])


@pytest.mark.parametrize(
    ("file", "reading", "suggested"),
    [
        (workbook(two_sheets), {"sheet": "S2"}, ["role_title", "name", "email"]),
        ("Größe,Name,Email,Straße\n1,Ann,a@x.org,A\n".encode("mac_roman"), {"encoding": "cp1252"}, None),
    ],
)
@pytest.mark.parametrize("button", [{}, {"step": "read"}])
def test_columns_are_those_of_their_titles_whatever_button_reads_other_ones(
    browser: Client, file: bytes, reading: dict[str, str], suggested: list[str] | None, button: dict[str, str]
) -> None:
    page = go_on(browser, choose(browser, file), **reading, **button)
    assert "result" not in page.context
    assert "The titles are other ones now." in page.content.decode()
    titles, _, columns = zip(*page.context["columns"], strict=True)
    assert list(columns) == (suggested or suggest_columns(Contact, titles))
    page = go_on(browser, page, **reading)
    assert next(new for _, _, new in next(iter(changes(page).values()))) in ("Ann", "Bob")


def test_columns_stay_as_chosen_where_another_encoding_has_the_same_titles(browser: Client) -> None:
    page = choose(browser, "Name,Email,Colour\nJürgen,j@x.org,red\n".encode("mac_roman"))
    columns = ["name", "email", "notes"]
    page = go_on(browser, page, step="read", encoding="cp1252", columns=columns)
    assert [name for _, _, name in page.context["columns"]] == columns


def test_the_choice_for_a_file_is_that_for_its_refused_rows(browser: Client) -> None:
    page = go_on(browser, choose(browser, "Name;Email;Firma (alt)\nAnn;none;N\n"), columns=["name", "email", "notes"])
    refused_rows = browser.get(page.context["refused_url"]).content
    confirm(browser, page)
    chosen = [name for _, _, name in choose(browser, refused_rows).context["columns"]]
    assert chosen == ["name", "email", "notes", ""]
    confirm(browser, preview(browser, refused_rows.replace(b"none", b"a@x.org")))
    page = choose(browser, "Name;Email;Firma (alt)\nAnn;none;N\n")
    assert [name for _, _, name in page.context["columns"]] == chosen[:-1]


def test_a_bad_value_is_left_out_said_by_its_reason_and_in_the_file_of_such_rows(browser: Client, person: User) -> None:
    rows = "Ann,ann@x.org,call her,red\nBob,bob@x.org,ask,blue\nCid,cid@x.org,,red\n,dan@x.org,,red\n"
    file = f"Name,E-Mail,Phone,Colour\n{rows}"
    page = preview(browser, file)
    assert counts(page) == {"new": 3, "invalid": 1}
    [(reason, number, _)] = next(groups for title, _, groups, _ in page.context["lists"] if "left out" in title)
    assert (reason.startswith("Phone: … is not a phone number"), number) == (True, 2)
    assert b'"dan@x.org","","red","Name: It is empty."' in browser.get(page.context["refused_url"]).content
    said = messages(confirm(browser, page))
    assert "3 new" in said
    assert "1 row was not imported. 2 rows have a value that was left out." in said
    batch_id = ActivityLine.objects.get(kind="import", folded=False).batch_id
    address = f"/admin/npd/contact/import/refused/{batch_id}/"
    assert address in browser.get("/admin/sync/activityline/").content.decode()
    lines = browser.get(address).content.decode("utf-8-sig").splitlines()
    assert lines[0] == '"Name","E-Mail","Phone","Colour","Reason"'
    assert [line.split(",")[0] for line in lines[1:]] == ['"Ann"', '"Bob"', '""']
    client = Client()
    client.force_login(staff_who_may("view_contact", "change_contact", "add_contact"))
    assert client.get(address).status_code == 403
    waiting = preview(browser, f"{file}Eve,eve@x.org,,\n")
    erase(Person("contact", Contact.objects.get(name="Ann").pk), delete_items=False)
    assert browser.get(address).status_code == 404
    assert address not in browser.get("/admin/sync/activityline/").content.decode()
    assert "or a person is erased. Choose it again." in messages(confirm(browser, waiting))


def test_a_row_that_stays_unchanged_is_not_said_to_be_imported_without_a_value(browser: Client) -> None:
    contact("Ann", "ann@x.org")
    page = preview(browser, "Email,Phone\nann@x.org,call her\n")
    assert counts(page) == {"skip": 1}
    assert "mported without" not in page.content.decode()
    assert "“call her” is not a phone number" in browser.get(page.context["refused_url"]).content.decode()


def test_refused_rows_are_kept_for_seven_days(browser: Client) -> None:
    confirm(browser, preview(browser, "Name,Email\nAnn,none\n"))
    [address] = set(re.findall(r"/admin/npd/contact/import/refused/[^/]+/", browser.get(ACTIVITY).content.decode()))
    kept = CacheEntry.objects.filter(cache_key__contains="refused-contact").exclude(
        expires__lt=now() + timedelta(days=6)
    )
    assert now() + timedelta(days=7) - kept.get().expires < timedelta(minutes=5)
    assert browser.get(address).status_code == 200
    kept.update(expires=now() - timedelta(seconds=1))
    assert address not in browser.get(ACTIVITY).content.decode()
    assert browser.get(address).status_code == 404


def test_the_country_of_phone_numbers_can_be_chosen_for_a_file(browser: Client) -> None:
    Organization.objects.create(name="Nova", address_country="United States")
    rows = ["Ann,ann@x.org,Nova,0511 / 44 55 66", "Bob,bob@x.org,Nova,+44 20 7946 0018", "Cid,cid@x.org,Nova,call me"]
    file = "\n".join(["Name,Email,Company,Phone", *rows])
    phones = {
        number: {name: new for name, _, new in diff}
        for number, diff in changes(preview(browser, file, region="DE")).items()
    }
    assert phones[2]["Phone"].replace(" ", "") == "+49511445566"
    assert phones[3]["Phone"] == "+44 20 7946 0018"
    contact("Cid", "cid@x.org", phone="+49 511 445566")
    said = warnings(preview(browser, file, region="DE"))[4]
    assert ("is not a phone number in Germany" in said, "It reads" in said) == (True, False)


@pytest.mark.parametrize("title", ["Country", "Land/Region (geschäftlich)", "Business Country/Region", "País"])
def test_a_country_beside_a_phone_number_counts_before_the_one_chosen_for_the_file(browser: Client, title: str) -> None:
    Organization.objects.create(name="Nova", address_country="United States")
    countries = enumerate(["Austria", "at", "Österreich", "", "Somewhere"])
    file = f"Name,Phone,Company,{title}\n" + "".join(f"P{row},01 534540,Nova,{country}\n" for row, country in countries)
    phones = {
        number: {name: new for name, _, new in diff}.get("Phone")
        for number, diff in changes(preview(browser, file, region="FR")).items()
    }
    assert phones == {2: "+43 1 534540", 3: "+43 1 534540", 4: "+43 1 534540", 5: None, 6: None}
    assert "phone_country" not in suggest_columns(Organization, ["Name", title])
    assert "Country of the phone number" in choose(browser, file).content.decode()
    two = f"Name,Phone,{title},Where\nAnn,01 534540,,Austria\n"
    page = go_on(browser, choose(browser, two), columns=["name", "phone", "phone_country", "phone_country"])
    assert ("Phone", "", "+43 1 534540") in changes(page)[2]


def test_new_organizations_and_namesakes_are_named_before_and_after(browser: Client) -> None:
    contact("Ann", "ann@x.org")
    file = "Name,Email,Company\nann,ann@y.org,Nova\nBob,bob@y.org,Orbit\n"
    page = preview(browser, file, create_missing="on")
    assert page.context["result"].made_names == ["Nova", "Orbit"]
    assert warnings(page) == {2: "A contact in NPD has this name, but another email or none."}
    lists = {title: [heading for heading, _, _ in groups[0][2]] for title, _, groups, _ in page.context["lists"]}
    assert lists == {"New organizations": ["Nova", "Orbit"], "Namesakes": ["Row 2, ann"], "Other new": ["Row 3, Bob"]}
    assert "Made 2 organizations: Nova, Orbit." in messages(confirm(browser, page))


def test_people_of_one_name_in_one_file_are_namesakes(browser: Client) -> None:
    contact("Dan", "dan@x.org")
    file = "Name,Email\nAnn Ace,ann@x.org\nBob,b@x.org\n ANN  Ace,ann@y.org\nAnn Ace,\nDan,dan@x.org\nDan,dan@y.org\n"
    page = preview(browser, file)
    of_file = "Row 2 has this name, but another email or none."
    assert warnings(page) == {4: of_file, 5: of_file, 7: "A contact in NPD has this name, but another email or none."}
    assert "Namesakes: 3" in page.content.decode()
    said = messages(confirm(browser, page, leave_out_warned="on"))
    assert "Imported: 2 new, 0 changed, 1 unchanged. 3 rows with a warning were left out." in said
    file = "Name,Email\nCid,no\nCid,no address\n,c@x.org\n"
    assert warnings(preview(browser, file, bad_values="refuse")) == {}


@pytest.mark.parametrize(
    ("in_npd", "in_file", "is_namesake"),
    [
        ("Petra Hofmann", "Dr. Hofmann, Petra", True), ("Petra Hofmann", "Frau Petra Hofmann", True),
        ("Prof. Dr.-Ing. Petra Hofmann", "PETRA HOFMANN", True), ("Hofmann, Petra", "Petra Hofmann, PhD", True),
        ("Petra Hofmann", "Hofmann, Petra, Dr. med.", True), ("Petra Hofmann", "Petra Hofmann-Ace", False),
        ("Petra Hofmann", "Peter Hofmann", False), ("Dr. Oetker", "Frau", False),
        ("Petra Hofmann", "Hofmann, Dr. rer. nat. Petra", True), ("Petra Hofmann", "Dipl.-Ing. Petra Hofmann", True),
        ("Petra Hofmann", "Mag. Petra Hofmann", True), ("Petra Hofmann", "Sig. Petra Hofmann", True),
        ("Petra Hofmann", "Prof Dr med Petra Hofmann", True), ("Petra Hofmann", "Petra Hofmann, Dr. phil.", True),
        ("Collins", "Phil Collins", False), ("Peter", "Peter Pan", False), ("John", "John Mba", False),
        ("King Cole", "Nat King Cole", False), ("Dr. Frau", "Prof. Mr", False),
    ],
)  # fmt: skip
def test_a_name_with_titles_or_the_last_name_first_is_a_namesake_and_stays_as_it_is(
    browser: Client, in_npd: str, in_file: str, is_namesake: bool
) -> None:
    contact(in_npd, "p@x.org")
    page = preview(browser, f'Name,Email\n"{in_file}",p@y.org\n')
    assert (changes(page)[2][0], bool(warnings(page))) == (("Name", "", in_file), is_namesake)
    page = preview(browser, f'Name,Email\n"{in_npd}",a@y.org\n"{in_file}",b@y.org\n')
    assert set(warnings(page)) == ({2, 3} if is_namesake else {2})
    assert not warnings(preview(browser, "Name,City\nOetker,Kiel\nDr. Oetker,Kiel\n", "organization"))


@pytest.mark.parametrize("placeholder", ["N.N.", "N. N.", "n.n.", "n/a", "N.A.", "k. A.", "-", "?? ??"])
def test_what_stands_where_nobody_is_known_is_no_name(browser: Client, placeholder: str) -> None:
    page = preview(browser, f"Name,Email\n{placeholder},info@x.org\nNN Group,nn@x.org\n")
    assert (refused(page)[2].startswith("Name: It is empty."), list(changes(page))) == (True, [3])
    page = preview(browser, f"First name,Last name,Email\nAnn,{placeholder},a@x.org\n")
    assert changes(page)[2][0] == ("Name", "", "Ann")


def test_initials_before_a_surname_stay(browser: Client) -> None:
    page = preview(browser, "First name,Last name,Email\nN.A.,de Vries,n@x.org\n")
    assert changes(page)[2][0] == ("Name", "", "N.A. de Vries")


def test_more_organizations_than_are_named_can_be_opened_from_the_message_and_the_activity(browser: Client) -> None:
    made = [f"Firm {number}" for number in range(8)]
    page = preview(browser, "Name,Company\n" + "".join(f"P {name},{name}\n" for name in made), create_missing="on")
    answer = confirm(browser, page)
    batch_id = ActivityLine.objects.get(kind="import", folded=False).batch_id
    address = f"{ACTIVITY}?fold_id={batch_id}"
    [message] = map(str, get_messages(answer.wsgi_request))
    assert f'Firm 4, 3 more. <a class="npd-link" href="{address}">Show each</a>' in message
    assert f'href="?fold_id={batch_id}"' in browser.get(ACTIVITY).content.decode()
    listed = browser.get(address).content.decode()
    assert [name for name in made if f">{name}<" not in listed] == []


def test_in_a_file_of_companies_their_name_is_theirs(browser: Client) -> None:
    for titles in ("Company Name,City,Contact", "Account name,Ort,Contact Name", "Firma,Stadt,Person"):
        assert counts(preview(browser, f"{titles}\nNova,Kiel,Ann\n", "organization")) == {"new": 1}
    imported(browser, "Company Name,City,Contact\nNova,Kiel,Ann\n", "organization")
    assert Organization.objects.values_list("name", "address_city").get() == ("Nova", "Kiel")


@pytest.mark.parametrize(
    ("titles", "cells"),
    [
        (
            "Account Name,Billing Street,Billing City,Billing State/Province,Billing Code,Billing Country",
            "Nova,A,B,C,1.0,D",
        ),
        ("Razón social,Dirección,Ciudad,Provincia,Código postal,País", "Nova,A,B,C,1,D"),
        ("Ragione sociale,Via,Città,Provincia,CAP,Paese", "Nova,A,B,C,1,D"),
        (
            "Firma,Straße geschäftlich,Ort geschäftlich,Region geschäftlich,PLZ geschäftlich,Land/Region geschäftlich",
            "Nova,A,B,C,1,D",
        ),
        ("Name,Shipping City,Mailing Street,City,Business City,State,Zip,Country", "Nova,x,A,B,y,C,1,D"),
        (
            '"EXTF";700\nKonto;Name (Adressattyp Unternehmen);Anrede;Straße;Ort;Bundesland;Postleitzahl;Land',
            "1;Nova;Firma;A;B;C;1;D",
        ),
    ],
)
def test_of_several_addresses_of_an_organization_one_is_read_whole(browser: Client, titles: str, cells: str) -> None:
    [diff] = changes(preview(browser, f"{titles}\n{cells}\n", "organization")).values()
    assert [new for _, _, new in diff] == ["Nova", "A", "B", "C", "1", "D"]


def test_a_column_that_is_not_imported_is_named_and_a_file_without_a_known_one_refused(browser: Client) -> None:
    page = preview(browser, "Name,Email,Colour,Phone,Mobile\nAnn,ann@x.org,red,+46 8 12345678,+46 70 1234567\n")
    assert page.context["result"].ignored == ["Colour"]
    assert "Columns that are not imported: Colour." in page.content.decode()
    page = preview(browser, "Name,Nr.,Company\nAnn,7,Nova Inc.\n", create_missing="on")
    assert "Columns that are not imported: Nr.<" in page.content.decode()
    assert "Made 1 organization: Nova Inc. " in messages(confirm(browser, page))
    page = preview(browser, "Colour,Phone\nred,1\n")
    assert "No column tells which contact a row is about." in str(page.context["form"].errors)
    page = preview(browser, workbook(lambda book: [book.active.append([row]) for row in ("Who;Post", "Ann;a@x.org")]))
    assert "The first row reads “Who;Post”" in str(page.context["form"].errors)
    page = preview(browser, "Who,Post\nAnn,ann@x.org\n")
    assert "The first row reads “Who, Post”: are the titles in another row?" in str(page.context["form"].errors)
    assert "result" not in page.context


# --- the preview writes nothing, and the confirmation writes what was shown ---


def test_a_preview_is_a_read_only_transaction_of_few_statements(
    browser: Client, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        contact(f"Person {number}", f"p{number}@x.org")
    rows = "".join(f"Person {number},p{number}@x.org,Role\n" for number in range(320))
    with django_assert_max_num_queries(50):  # of two requests: the file, and its preview
        page = preview(browser, f"Name,Email,Role\n{rows}")
    assert counts(page) == {"new": 260, "update": 60}
    assert not Contact.objects.exclude(role_title="").exists()
    html = page.content.decode()
    assert html.count("<b>Row ") == 40  # the first 20 of each kind
    [address, _] = re.findall(r'href="(/admin/npd/contact/import/rows/[^"]+)"', html)
    listed = "".join(browser.get(f"{address}?page={number}").content.decode() for number in (1, 2))
    assert re.findall("<b>Row ([0-9]+), Person", listed) == [str(number) for number in range(62, 322)]
    assert browser.get(f"{address[:-2]}9/").status_code == 404
    nobody = Client()
    nobody.force_login(staff_who_may("view_contact"))
    assert nobody.get(address).status_code == 403

    def planted(resource: Any) -> None:
        Contact.objects.update(role_title="Planted")

    monkeypatch.setattr(resource_of(Contact), "get_queryset", planted)
    page = preview(browser, f"Name,Email,Role\n{rows}")
    assert "read-only transaction" in str(page.context["form"].errors)


def test_what_was_not_shown_is_not_written(browser: Client) -> None:
    ann = contact("Ann", "ann@x.org", role_title="CEO")
    page = preview(browser, "Email,Role\nann@x.org,Chair\n")
    Contact.objects.filter(pk=ann.pk).update(role_title="Cook")
    again = confirm(browser, page)
    assert messages(again).startswith("Nothing was imported. Records were changed since the preview")
    assert changes(again) == {2: [("Role", "Cook", "Chair")]}
    ann.refresh_from_db()
    assert ann.role_title == "Cook"


def another_ann() -> None:
    Contact.objects.filter(name="Ann").delete()
    contact("Ann", "ann@x.org", role_title="CEO")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        # A new person gets a namesake, an unchanged one a change, and a changed one another warning.
        ("Name,Email\nBob,bob@x.org\n", lambda: contact("Bob", "bob@y.org")),
        ("Name,Role\nAnn,Chair\n", lambda: Contact.objects.filter(name="Ann").update(email="ann@y.org")),
        ("Name,Email,Role\nAnn,ann@x.org,CEO\nBob,b@x.org,\n", lambda: Contact.objects.update(role_title="Cook")),
        # A value that was left out isn't any more; nor is a row that was refused.
        ("Name,Company\nBob,Twin\n", lambda: Organization.objects.filter(aliases=["2"]).delete()),
        ("Name,Company\nBob,Nova\n", lambda: Organization.objects.create(name="Nova")),
        ("Name,Email\nTwo,two@x.org\nBob,bob@x.org\n", lambda: Contact.objects.filter(name="Two").delete()),
        # It is another record by now.
        ("Email,Role\nann@x.org,Chair\n", another_ann),
    ],
)
def test_what_npd_holds_otherwise_than_at_the_preview_shows_it_again(browser: Client, file: str, change: Any) -> None:
    contact("Ann", "ann@x.org", role_title="CEO")
    contact("Two", "two@x.org")
    contact("Two", "two@x.org")
    Organization.objects.create(name="Twin")
    Organization.objects.create(name="Twin", aliases=["2"])
    page = preview(browser, f"{file}")
    change()
    again = confirm(browser, page, leave_out_warned="on")
    assert messages(again).startswith("Nothing was imported. Records were changed since the preview")
    assert messages(confirm(browser, again)).startswith("Imported")


def test_a_cell_that_names_another_person_by_now_shows_the_preview_again(browser: Client) -> None:
    Organization.objects.create(name="Nova")
    contact("Kim", "kim@x.org")
    page = preview(browser, "Name,Billing contact\nNova,kim@x.org\n", "organization")
    Contact.objects.update(email="kim@y.org")
    contact("Kim", "kim@x.org")
    assert "Nothing was imported." in messages(confirm(browser, page, "organization"))


def test_an_import_the_database_refuses_leaves_nothing(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    contact("Ann", "ann@x.org")
    page = preview(browser, "Name,Email,Role,Company\nAnn,ann@x.org,Chair,Nova\nBob,bob@x.org,,\n", create_missing="on")

    def refusing(*args: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    monkeypatch.setattr(record_files, "update_many", refusing)
    assert messages(confirm(browser, page)) == "Nothing was imported. division by zero."
    assert names() == {"Ann"}
    assert not Organization.objects.exists()
    assert not ActivityLine.objects.filter(kind="import").exists()


def restart_database(*args: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def end_process(*args: Any) -> None:
    raise SystemExit


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cut_off", [restart_database, end_process])
def test_an_import_that_is_cut_off_leaves_nothing_and_can_be_repeated(
    browser: Client, monkeypatch: pytest.MonkeyPatch, cut_off: Any
) -> None:
    page = preview(browser, "Name,Email,Company\nAnn,ann@x.org,Nova\nBob,none,\n", create_missing="on")
    browser.raise_request_exception = False
    with monkeypatch.context() as patch, suppress(SystemExit):
        patch.setattr(record_files, "update_many", cut_off)
        assert "Imported" not in messages(confirm(browser, page))
    connection.close()
    assert names() == set()
    assert messages(confirm(browser, page)).startswith("Imported: 2 new")
    assert Organization.objects.count() == 1


WAITING = """
    SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("kind", "other", "people"),
    [
        ("contact", "Name,Email,Company\nAnn,ann@x.org,Nova\n", 1),
        ("contact", "Name,Email,Company\nBob,bob@x.org,Nova\n", 2),
        ("organization", "Name,City\nNova,Kiel\n", 1),
    ],
)
def test_two_imports_at_once_follow_each_other(browser: Client, kind: str, other: str, people: int) -> None:
    """The same file in two tabs is imported once, and two lists of each type make an organization once."""
    file = "Name,Email,Company\nAnn,ann@x.org,Nova\n"
    files = [(file, "contact"), (other, kind)]
    pages = [(preview(browser, content, name, create_missing="on"), name) for content, name in files]
    with transaction.atomic():
        lock_imports(["organization"])
        importing = [in_background(lambda page=page: messages(confirm(browser, *page))) for page in pages]
        wait_for("both wait", lambda: len(fetch_rows(WAITING)) == 2)
    said = [future.result(60) for future in importing]
    shown_again = [text.startswith("Nothing was imported. Records were changed since the preview") for text in said]
    if file == other:
        assert sorted(shown_again) == [False, True]
    if kind == "organization":
        # Whose list came second, found its organization in NPD.
        assert shown_again in ([False, True], [False, False])
    assert Contact.objects.count() == people
    assert Organization.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_import_and_somebody_who_changes_the_same_records_never_wait_for_each_other(browser: Client) -> None:
    """Others lock records in the order of their ids; a row may name its record by id, email or name."""
    ann, bob, cid = sorted((contact(name, f"{name}@x.org") for name in "ABC"), key=lambda record: record.pk)
    page = preview(browser, f"NPD ID,Name,Email,Role\n{cid.pk},,,Chair\n,,{bob.email},Cook\n,{ann.name},,Head\n")
    with transaction.atomic():
        Contact.objects.select_for_update().get(pk=ann.pk)
        importing = in_background(lambda: messages(confirm(browser, page)))
        wait_for("the import waits for us", somebody_waits_for_us)
        list(Contact.objects.select_for_update().filter(pk__in=[bob.pk, cid.pk]).order_by("pk"))
    assert importing.result(60).startswith("Imported: 0 new, 3 changed, 0 unchanged.")


def test_of_a_double_click_the_first_imports_and_a_lost_file_is_said(browser: Client) -> None:
    page = preview(browser, "Name,Email\nAnn,ann@x.org\n")
    confirm(browser, page)
    assert "imported already" in messages(confirm(browser, page))
    assert Contact.objects.count() == 1
    page = preview(browser, "Name,Email\nBob,bob@x.org\n")
    for address in ("process_import/", "import/?step=x"):
        answer = browser.post(f"/admin/npd/contact/{address}", {"step": "../../etc/passwd"}, follow=True)
        assert "Choose" in answer.content.decode()
    cache.clear()
    assert "Choose it again." in messages(confirm(browser, page))


# --- history, activity and undo ---


MADE = "Imported “people.csv”: 3 new, 1 changed. Made 1 organization: Nova."


def undo_address() -> str:
    return f"/admin/sync/activityline/act/{ActivityLine.objects.get(kind='import', folded=False).batch_id}/undo/"


def test_an_import_is_one_act_that_its_undo_takes_back(browser: Client, person: User) -> None:
    ann = contact("Ann", "ann@x.org", role_title="CEO")
    file = "Name,Email,Role,Company\nAnn,ann@x.org,Chair,\nBob,bob@x.org,Cook,Nova\nCid,cid@x.org,,\nDan,dan@x.org,,\n"
    imported(browser, file, create_missing="on")
    batch = set(ActivityLine.objects.filter(kind="import").values_list("batch_id", flat=True))
    assert len(batch) == 1
    batch_id = batch.pop()
    events = pghistory.models.Events.objects.tracks(ann).order_by("pgh_created_at")
    context = events.last().pgh_context
    assert (context["cause"], context["user"], context["batch"]) == ("import", person.pk, str(batch_id))
    line = ActivityLine.objects.get(entity_id=ann.pk, kind="import")
    assert line.sentence == "Role set to “Chair” (was “CEO”) by the import of “people.csv”, row 2."
    summary = ActivityLine.objects.get(kind="import", folded=False)
    assert (summary.entity_id, summary.sentence) == (None, MADE)
    # What it wrote is dated at its end: a program that took the newest time it saw for its mark misses none of it.
    organization = Organization.objects.get()
    assert summary.at < min(record.updated_at for record in (*Contact.objects.all(), organization))
    assert LogEntry.objects.get().change_message == MADE
    undo = undo_address()
    activity = browser.get("/admin/sync/activityline/").content.decode()
    assert f'href="{undo}?' in activity
    assert f"{MADE} 5 records Undo…" in words_of(activity)

    Contact.objects.filter(name="Cid").update(role_title="Changed since")
    question = browser.get(undo).content.decode()
    assert " lose" not in question
    assert "Undo the import of “people.csv”?" in question
    assert "3 records that the import made are deleted in NPD, and can be restored." in question
    assert "Undo and delete 3 records" in question
    assert "npd-button-deletes" in question
    answer = browser.post(undo, {"confirmed": "yes"}, follow=True).content.decode()
    assert "1 value restored and 3 records deleted." in answer
    assert "If it should go, delete it yourself." in answer
    ann.refresh_from_db()
    assert ann.role_title == "CEO"
    assert names() == {"Ann", "Cid"}
    assert not Organization.objects.exists()
    assert "2 values" not in browser.get(undo).content.decode()
    activity = words_of(browser.get("/admin/sync/activityline/").content.decode())
    assert f"{MADE} 5 records Partly undone Undo…" in activity
    assert "Undid the import of “people.csv”: 4 records. Show each Restore…" in activity


def test_an_import_of_which_one_row_was_undone_can_still_be_undone_from_the_search_for_its_file(
    browser: Client,
) -> None:
    imported(browser, "Name,Email\nBob,bob@x.org\nCid,cid@x.org\nDan,dan@x.org\n")
    bob = ActivityLine.objects.get(entity_id=Contact.objects.get(name="Bob").pk)
    browser.post(f"/admin/sync/activityline/{bob.pk}/undo/", {"confirmed": "yes"})
    found = words_of(browser.get("/admin/sync/activityline/?q=people.csv").content.decode())
    assert "Imported “people.csv”: 3 new, 0 changed. 3 records Partly undone Undo…" in found
    assert found.count("people.csv”, row") == 0
    question = words_of(browser.get(undo_address()).content.decode())
    assert ("Undo and delete 2 records" in question, "can&#x27;t be undone" in question) == (True, False)
    browser.post(undo_address(), {"confirmed": "yes"})
    assert not Contact.objects.exists()
    assert "3 records Undone" in words_of(browser.get("/admin/sync/activityline/").content.decode())
    assert browser.get(undo_address()).status_code == 404


def test_what_an_import_made_and_others_point_at_stays(browser: Client) -> None:
    imported(browser, "Name\nNova\nOrbit\n", "organization")
    contact("Ann", organization=Organization.objects.get(name="Nova"))
    browser.post(undo_address(), {"confirmed": "yes"})
    assert [organization.name for organization in Organization.objects.all()] == ["Nova"]


def test_what_an_import_made_goes_with_the_references_that_it_made(browser: Client) -> None:
    ann = contact("Ann", "ann@x.org")
    imported(browser, "Name,Email,Company\nAnn,ann@x.org,Nova\n", create_missing="on")
    undo = undo_address()
    question = browser.get(undo).content.decode()
    assert ("Undo and delete 1 record" in question, "be undone here" in question) == (True, False)
    browser.post(undo, {"confirmed": "yes"})
    ann.refresh_from_db()
    assert (ann.organization, Organization.objects.count()) == (None, 0)


def test_an_undo_warns_of_no_reference_that_it_puts_back_and_links_to_where_deletions_wait(
    browser: Client, settings: Any
) -> None:
    settings.GUARD_RECORDS = 1
    old = Organization.objects.create(name="Old")
    bob = contact("Bob", "bob@x.org", organization=old)
    imported(browser, "Name,Email,Company\nBob,bob@x.org,Nova\nEve,eve@x.org,Orbit\n", create_missing="on")
    BoardLink.objects.create(entity_type="organization", board_id="5001", match_key="name")
    for number, name in enumerate(("Nova", "Orbit")):
        Organization.objects.filter(name=name).update(monday_id=number)
    undo = undo_address()
    question = browser.get(undo).content.decode()
    assert "Undo and delete 3 records" in question
    assert " lose" not in question
    assert "wait for approval on Home" in question
    assert '<a class="npd-link" href="/admin/">Open Home</a>' in question
    browser.post(undo, {"confirmed": "yes"})
    bob.refresh_from_db()
    assert bob.organization == old
    assert Organization.objects.get() == old


def test_the_preview_says_how_many_calls_the_import_takes(browser: Client) -> None:
    BoardLink.objects.create(entity_type="contact", board_id="5001", match_key="email")
    ApiQuota.objects.update_or_create(id=1, defaults={"day_limit": 1_000})
    page = preview(browser, "Name,Email\nAnn,ann@x.org\n").content.decode()
    assert "Takes about 2 of the 1,000 API calls left today." in page


def test_an_undo_counts_no_organization_of_a_contact_that_it_keeps(browser: Client) -> None:
    imported(browser, "Name,Email,Company\nAnn,ann@x.org,Nova\nBob,bob@x.org,Orbit\n", create_missing="on")
    Contact.objects.filter(name="Ann").update(role_title="Changed since")
    undo = undo_address()
    assert "Undo and delete 2 records" in browser.get(undo).content.decode()
    answer = browser.post(undo, {"confirmed": "yes"}, follow=True).content.decode()
    assert "2 records deleted." in answer
    assert [contact.organization.name for contact in Contact.objects.all()] == ["Nova"]


def test_an_undo_is_offered_only_to_who_may_delete_all_that_was_made(browser: Client) -> None:
    imported(browser, "Name,Email,Company\nAnn,ann@x.org,Nova\n", create_missing="on")
    rights = {"view_activityline", "view_contact", "change_contact", "delete_contact"}
    for missing in ("", "delete_contact", "delete_organization"):
        codes = (rights | {"delete_organization"}) - {missing}
        browser.force_login(staff_who_may(*codes, name=f"without {missing}"))
        activity = browser.get("/admin/sync/activityline/").content.decode()
        assert (undo_address() in activity) == (not missing), missing
        assert browser.get(undo_address()).status_code == (403 if missing else 200)
    assert browser.post(undo_address(), {"confirmed": "yes"}).status_code == 403
    assert names() == {"Ann"}
    importer = {"add_contact", "change_contact", "import_contact", "view_contact"}
    browser.force_login(staff_who_may(*importer, name="importer"))
    assert "Undo" not in imported(browser, "Name,Email\nBob,bob@x.org\n")


# --- limits and rights ---


def test_a_file_has_five_thousand_rows_and_ten_megabytes(browser: Client) -> None:
    rows = "".join(f"Person {number},p{number}@x.org\n" for number in range(MAX_ROWS + 1))
    page = preview(browser, f"Name,Email\n{rows}")
    assert "A file may have 5,000 rows below its titles" in str(page.context["form"].errors)
    page = preview(browser, b"Name,Email\n" + b"x" * 10_000_001)
    assert "A file may have 10 MB." in str(page.context["form"].errors)


def test_an_import_asks_for_its_own_right_and_those_to_add_and_change(client: Client, person: User) -> None:
    needed = {"view_contact", "add_contact", "change_contact", "import_contact"}
    for number, missing in enumerate(("", "add_contact", "change_contact", "import_contact")):
        codes = needed - {missing}
        client.force_login(staff_who_may(*codes, name=f"clerk {number}"))
        status = 200 if codes == needed else 403
        assert client.get("/admin/npd/contact/import/").status_code == status
        assert preview(client, "Name,Email\nAnn,ann@x.org\n").status_code == status
        confirmed = client.post("/admin/npd/contact/process_import/", {"import_file_name": str(codes)})
        assert (confirmed.status_code == 403) == (status == 403)
        assert ("/admin/npd/contact/import/" in client.get("/admin/npd/contact/").content.decode()) == (status == 200)

"""Makes the demo data: organizations and contacts as in a CRM after ten years. Needs Faker.

    python -m data.make          writes data/organizations.jsonl and data/contacts.jsonl

There is one seed, so the same Faker makes the same bytes. Nobody in the data exists: email addresses have domains that
RFC 2606 reserves for examples, telephone numbers are from ranges that regulators reserve for fiction (NANPA's 555-01xx,
Ofcom's drama numbers, ARCEP's and the Bundesnetzagentur's).
"""

import json
import random
import re
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faker import Faker

DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "sales.example.org", "crm.test")
US_AREAS = (202, 212, 312, 415, 617, 713)
GERMAN = ("30 23125", "69 90009", "40 66969", "221 4710", "89 99998")  # three digits follow
FRENCH = ("1 99 00", "2 61 91", "3 53 01", "4 65 71", "5 36 49")  # two pairs follow
FULL_WIDTH = str.maketrans("0123456789+-", "０１２３４５６７８９＋－")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
FOLDER = Path(__file__).resolve().parent
SEED = 20261120
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "demo.npd.example")
LOCALES = {"en_US": 40, "de_DE": 15, "fr_FR": 15, "pl_PL": 12, "ja_JP": 10, "ar_AA": 8}
COUNTRIES = {
    "en_US": "United States",
    "de_DE": "Deutschland",
    "fr_FR": "France",
    "pl_PL": "Polska",
    "ja_JP": "日本",
    "ar_AA": "الأردن",
}
STATES = {"en_US": "state", "de_DE": "state", "fr_FR": "region", "pl_PL": "region", "ja_JP": "prefecture"}
ROLES = {
    "en_US": ["Buyer", "Head of Purchasing", "Lab manager", "Accounts payable", "Facilities, nights", "CFO"],
    "de_DE": ["Einkauf", "Geschäftsführer", "Laborleitung", "Buchhaltung", "Öffentlichkeitsarbeit"],
    "fr_FR": ["Responsable achats", "Directrice générale", "Comptabilité", "Chargé d’études", "Secrétariat"],
    "pl_PL": ["Główny księgowy", "Kierownik działu zakupów", "Asystentka zarządu", "Właściciel"],
    "ja_JP": ["購買部長", "経理担当", "代表取締役", "研究員"],
    "ar_AA": ["مدير المشتريات", "محاسب", "المدير العام", "مهندسة"],
}
# Monday's limit for a long text: developer.monday.com/api-reference/reference/long-text
LONGEST_NOTE = 2000  # characters

Record = dict[str, Any]


class People:
    """Fake people and companies by locale, each with another name."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - made-up people, no secrets
        self.by_locale = {locale: Faker(locale) for locale in LOCALES}
        for number, fake in enumerate(self.by_locale.values()):
            fake.seed_instance(seed + number)
        self.taken: set[str] = set()

    def locale(self) -> str:
        return self.random.choices(list(LOCALES), list(LOCALES.values()))[0]

    def once(self, locale: str, kind: str) -> str:
        """Return a name or company that isn't in the data yet."""
        while True:
            name = tidy(str(getattr(self.by_locale[locale], kind)()))
            if name.casefold() not in self.taken:
                self.taken.add(name.casefold())
                return name

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def note(self, locale: str) -> str:
        """Return a note: usually empty or one line, sometimes paragraphs, rarely as much as Monday's column holds."""
        fake, dice = self.by_locale[locale], self.random.random()
        if dice < 0.35:
            return ""
        if dice < 0.90:
            return tidy(fake.sentence(nb_words=10))
        paragraphs = [tidy(fake.paragraph(nb_sentences=4)) for _ in range(3)]
        if dice < 0.985:
            return "\n\n".join(paragraphs)
        while sum(map(len, paragraphs)) < LONGEST_NOTE:
            paragraphs.append(tidy(fake.paragraph(nb_sentences=6)))
        return "\n".join(paragraphs)[:LONGEST_NOTE].strip()


def tidy(text: str) -> str:
    """Return the text as one line in Unicode's composed form."""
    return unicodedata.normalize("NFC", re.sub(r"\s+", " ", text)).strip()


def identity(kind: str, number: int) -> str:
    """Return an id that is the same in every run."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}/{number}"))


def address(people: People, locale: str) -> Record:
    """Return the five fields, some of them empty, and some streets with a comma."""
    fake = people.by_locale[locale]
    street = tidy(fake.street_address())
    if people.chance(0.08):
        street += ", 2nd floor" if locale == "en_US" else ", B 2"
    state = STATES.get(locale)
    return {
        "address_street": street,
        "address_city": tidy(fake.city()),
        "address_state": tidy(getattr(fake, state)()) if state and people.chance(0.7) else "",
        "address_zip": tidy(fake.postcode()) if people.chance(0.9) else "",
        "address_country": COUNTRIES[locale] if people.chance(0.8) else "",
    }


def aliases(people: People, name: str) -> list[str]:
    """Return short names of the company, such as its initials."""
    words = re.findall(r"\w+", name)
    candidates = ["".join(word[0] for word in words).upper(), words[0].upper(), f"{words[0]} {words[-1]}"]
    wanted = people.random.choices([0, 1, 2], [65, 25, 10])[0]
    return list(dict.fromkeys(alias for alias in candidates if alias != name and len(alias) > 1))[:wanted]


def organizations(people: People, count: int) -> Iterator[tuple[str, Record]]:
    """Yield organizations, each with its locale."""
    for number in range(count):
        locale = people.locale()
        name = people.once(locale, "company")
        where = address(people, locale) if people.chance(0.88) else {}
        yield (
            locale,
            {
                "id": identity("organization", number),
                "name": name,
                "aliases": aliases(people, name),
                **where,
                "inventory_url": f"https://inventory.example.org/{number:04d}" if people.chance(0.3) else "",
                "notes": people.note(locale),
            },
        )


def contacts(people: People, homes: list[tuple[str, Record]], count: int) -> Iterator[Record]:
    """Yield contacts; most work for an organization and share its locale."""
    for number in range(count):
        locale, home = people.random.choice(homes)
        employed = people.chance(0.92)
        name = people.once(locale, "name")
        yield {
            "id": identity("contact", number),
            "name": name,
            "email": email_for(people.random, name, number) if people.chance(0.94) else "",
            "organization": home["id"] if employed else "",
            "role_title": people.random.choice(ROLES[locale]) if people.chance(0.8) else "",
            "phone": phone_for(people.random, locale) if people.chance(0.85) else "",
            "notes": people.note(locale),
        }


def with_billing_contacts(people: People, companies: list[Record], persons: list[Record]) -> None:
    """Give every third company one of its people as its billing contact."""
    staff: dict[str, list[str]] = {}
    for person in persons:
        staff.setdefault(person["organization"], []).append(person["id"])
    for company in companies:
        if company["id"] in staff and people.chance(0.33):
            company["billing_contact"] = people.random.choice(staff[company["id"]])


def file_contents(seed: int = SEED, companies: int = 100, persons: int = 500) -> dict[str, str]:
    """Return the files' contents by name: one JSON object a line, without empty fields."""
    people = People(seed)
    homes = list(organizations(people, companies))
    crowd = list(contacts(people, homes, persons))
    firms = [record for _, record in homes]
    with_billing_contacts(people, firms, crowd)
    return {"organizations.jsonl": lines(firms), "contacts.jsonl": lines(crowd)}


def lines(records: list[Record]) -> str:
    compact = [{key: value for key, value in record.items() if value not in ("", [])} for record in records]
    return "".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in compact)


def email_for(dice: random.Random, name: str, number: int) -> str:
    """Return an address made of a Latin name; some have capitals, a tag or a long local part."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z]+", plain.lower()) or ["contact"]
    local = f"{'.'.join(words[:2])}{number}"
    domain = dice.choice(DOMAINS)
    shape = dice.random()
    if shape < 0.05:
        return f"{local}+crm@{domain}"
    if shape < 0.10:
        return f"{local.title()}@{domain.title()}"
    if shape < 0.12:
        return f"{'.'.join(words)}.of.the.department.for.odd.cases.{number}"[:64] + f"@{domain}"
    return f"{local}@{domain}"


def phone_for(dice: random.Random, locale: str) -> str:
    """Return a number from the locale's range for fiction, or a British or American one if it has none."""
    if locale == "de_DE":
        return _spelled(dice, f"+49 {dice.choice(GERMAN)} {dice.randrange(1000):03d}")
    if locale == "fr_FR":
        return _spelled(
            dice, f"+33 {dice.choice(FRENCH)} {dice.randrange(100):02d} {dice.randrange(10)}{dice.randrange(10)}"
        )
    if locale == "en_US":
        return _american(dice)
    number = f"+44 20 7946 {dice.randrange(1000):04d}"
    if locale == "ja_JP" and dice.random() < 0.3:
        return number.translate(FULL_WIDTH)
    if locale == "ar_AA" and dice.random() < 0.3:
        return number.translate(ARABIC)
    return _spelled(dice, number)


def _american(dice: random.Random) -> str:
    area, last = dice.choice(US_AREAS), 100 + dice.randrange(100)
    return dice.choice(
        [
            f"+1{area}5550{last}",
            f"({area}) 555-0{last}",
            f"{area}.555.0{last}",
            f"1-{area}-555-0{last}",
            f"+1 ({area}) 555 0{last}",
        ]
    )


def _spelled(dice: random.Random, number: str) -> str:
    """Return the number as different people type it."""
    country, rest = number.split(" ", 1)
    shape = dice.random()
    if shape < 0.4:
        return number.replace(" ", "")
    if shape < 0.7:
        return number
    if shape < 0.85:
        return f"{country} (0) {rest}"
    return f"{country}-{rest.replace(' ', '/', 1)}"


if __name__ == "__main__":
    for file_name, text in file_contents().items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")

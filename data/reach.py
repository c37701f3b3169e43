"""Email addresses and telephone numbers that reach nobody, written the way people write them."""

import random
import re
import unicodedata

DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "sales.example.org", "crm.test")
US_AREAS = (202, 212, 312, 415, 617, 713)
GERMAN = ("30 23125", "69 90009", "40 66969", "221 4710", "89 99998")  # three digits follow
FRENCH = ("1 99 00", "2 61 91", "3 53 01", "4 65 71", "5 36 49")  # two pairs follow
FULL_WIDTH = str.maketrans("0123456789+-", "０１２３４５６７８９＋－")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def email_for(dice: random.Random, name: str, number: int) -> str:
    """An address made of the name where that is Latin; some with capitals, a tag or a long local part."""
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
    """A number of the locale's own fiction range; where a country has none, a British or American one."""
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
    """The same number, as different people type it."""
    country, rest = number.split(" ", 1)
    shape = dice.random()
    if shape < 0.4:
        return number.replace(" ", "")
    if shape < 0.7:
        return number
    if shape < 0.85:
        return f"{country} (0) {rest}"
    return f"{country}-{rest.replace(' ', '/', 1)}"

"""Links, email addresses and phone numbers are equal only if they mean the same, however they are written."""

from typing import Any

import phonenumbers
import pytest

from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions

LINKS = [
    ("https://example.org:443/", "https://example.org"),
    ("HTTPS://Example.ORG/a", "example.org/a"),
    ("https://bücher.example/", "https://xn--bcher-kva.example"),
    ("https://straße.example", "https://xn--strae-oqa.example"),
    ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah"),
    ("https://ｅｘａｍｐｌｅ．org", "https://example.org"),
    ("https://exam\u00adple.org\u200b/a", "https://example.org/a"),
    ("https://example.org/a b", "https://example.org/a%20b"),
    ("MAILTO:ada@example.org", "mailto:ada@example.org"),
    ("https://example.org/Übersicht?q=größe#Süd", "https://example.org/%C3%9Cbersicht?q=gr%c3%b6%C3%9fe#S%C3%BCd"),
    ("https://example.org/U\u0308ber", "https://example.org/%C3%9Cber"),
    ("https://example.org/日本/😀", "https://example.org/%E6%97%A5%E6%9C%AC/%F0%9F%98%80"),
    ("https://example.org/%7eada/%2d%2E%5F%41", "https://example.org/~ada/-._A"),
    ("https://example.org/a%2fb%3f", "https://example.org/a%2Fb%3F"),
    ('https://example.org/{a}|"b"', "https://example.org/%7Ba%7D%7C%22b%22"),
    ("https://example.org/100%?%zz&%%34%31", "https://example.org/100%25?%25zz&%2541"),
    ("mailto:ada@example.org?subject=Grüße", "mailto:ada@example.org?subject=Gr%C3%BC%C3%9Fe"),
]
OTHER_LINKS = [
    ("https://example.org/A", "https://example.org/a"),
    ("https://example.org/a/", "https://example.org/a"),
    ("https://example.org:8443", "https://example.org"),
    ("http://example.org", "https://example.org"),
    ("https://strasse.example", "https://straße.example"),
    ("https://Ada@example.org", "https://ada@example.org"),
    ("https://example.org/#a", "https://example.org/"),
    ("https://example.org/?q=what?", "https://example.org/?q=what"),
    ("see example.org/a", "example.org/a"),
    ("https://example.org/a%2Fb", "https://example.org/a/b"),
    ("https://example.org/?a%26b", "https://example.org/?a&b"),
    ("https://example.org/?a+b", "https://example.org/?a%20b"),
    ("https://example.org/%C3%9C", "https://example.org/%DC"),
]
EMAILS = [
    ("a@münchen.de", "a@xn--mnchen-3ya.de"),
    ("ａｄａ＠ｅｘａｍｐｌｅ．ｏｒｇ", "ada@example.org"),
    ("mailto:ada@example.org", "Ada@Example.org"),
    ("ada@example.org.", "ada@example.org"),
    ("jose\u0301@example.org", "jos\u00e9@example.org"),
    ("mailto:ada@example.org?subject=Hi", "ada@example.org"),
    ("mailto:ada%2B1@example.org", "ada+1@example.org"),
]
OTHER_EMAILS = [
    ("a@muenchen.de", "a@münchen.de"),
    ("a@xn--.de", "a@.de"),
    ("ada.@example.org", "ada@example.org"),
    ("ada+1@example.org", "ada@example.org"),
]
PHONES = [
    ("0049 171 1234567", "0171 1234567 DE"),
    ("+49 (0) 171 / 12345-67", "491711234567 DE"),
    ("[+49] 171.1234567", "tel:+49-171-1234567"),
    ("＋４９ １７１ １２３４５６７", "+491711234567"),
    ("+1 (202) 555-0172 #12", "+12025550172;ext=12"),
    ("+49 171 1234567 ext. ١٢", "+491711234567 x12"),
]
OTHER_PHONES = [
    ("+54 11 1234-5678", "+54 11 1234-5679"),
    ("+1 555 123 4567", "+52 555 123 4567"),
    ("+12025550172 x1", "+12025550172 x2"),
    ("+49 171 1234567", "+49 171 123456"),
]


def _cell(converter: str, text: str) -> dict[str, str]:
    number, _, country = text.rpartition(" ") if text[-2:].isalpha() else (text, "", "")
    return {"phone": number, "countryShortName": country} if converter == "phone" else {KEYS[converter]: text}


def _pairs(links: list[tuple[str, str]], emails: list[tuple[str, str]], phones: list[tuple[str, str]]) -> list[Any]:
    kinds = {"link": links, "email": emails, "phone": phones}
    return [pytest.param(kind, ours, theirs, id=f"{kind} {ours!a}") for kind in kinds for ours, theirs in kinds[kind]]


KEYS = {"link": "url", "email": "email"}


@pytest.mark.parametrize(("kind", "ours", "theirs"), _pairs(LINKS, EMAILS, PHONES))
def test_they_say_the_same(kind: str, ours: str, theirs: str) -> None:
    converter, cell = make_converter(kind), _cell(kind, theirs)
    canonical = converter.canonical_local({"field": ours})
    assert canonical == converter.canonical_remote(cell)
    assert canonical == converter.canonical_local({"field": canonical})
    # The existing spelling stays, and what is pulled or sent means the same.
    assert converter.to_local(cell, {"field": ours}) == {"field": ours}
    assert converter.canonical_local(converter.to_local(cell, {"field": ""})) == canonical
    assert converter.canonical_remote(converter.to_remote({"field": ours}, None)) == canonical


@pytest.mark.parametrize(("kind", "ours", "theirs"), _pairs(OTHER_LINKS, OTHER_EMAILS, OTHER_PHONES))
def test_they_are_two(kind: str, ours: str, theirs: str) -> None:
    converter = make_converter(kind)
    assert converter.canonical_local({"field": ours}) != converter.canonical_remote(_cell(kind, theirs))


def test_a_number_is_the_same_on_both_sides_however_much_of_its_code_it_has() -> None:
    apart = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        assert example is not None
        converter = make_converter("phone", ConverterOptions(region=region))
        whole = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        local = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
        for text in (whole, whole[1:], f"00{whole[1:]}", f"{whole[1:3]} {whole[3:]}", local):
            sides = {
                converter.canonical_local({"phone": text}),
                converter.canonical_remote({"phone": text, "countryShortName": region}),
            }
            apart += [(region, text, sides)] if sides != {converter.canonical_local({"phone": whole})} else []
    assert not apart


def test_a_number_of_no_country_is_sent_without_one() -> None:
    sent = {"phone": "+80012345678", "countryShortName": ""}
    assert make_converter("phone").to_remote({"phone": "+800 1234 5678"}, None) == sent


def test_what_no_form_takes_is_pulled_as_one_does() -> None:
    assert make_converter("link").to_local({"url": "https://example.org/a b"}, {"field": ""}) == {
        "field": "https://example.org/a%20b"
    }
    assert make_converter("email").to_local({"email": "mailto:Ada@example.org."}, {"field": ""}) == {
        "field": "Ada@example.org"
    }


@pytest.mark.parametrize(
    "text", ["https://exam ple.org", "mailto:ada@example.org", "https://[::1", "https://xn--\u00fc.de"]
)
def test_any_other_text_is_read_without_a_fault(text: str) -> None:
    converter = make_converter("link")
    canonical = converter.canonical_local({"url": text})
    assert canonical == converter.canonical_local({"url": canonical})

"""Links that mean the same are equal, however they are escaped; those that don't, aren't."""

from __future__ import annotations

import pytest

from sync.monday.columns import make_converter
from sync.monday.conversion import ConverterOptions

LINK = make_converter("link", ConverterOptions())
SAME = [
    ("https://example.org/%7eada", "https://example.org/~ada"),
    ("https://example.org/a%2fb", "https://example.org/a%2Fb"),
    ("https://example.org/caf%C3%A9", "https://example.org/café"),
    ("https://example.org/?q=caf%c3%a9&r=%41", "https://example.org/?q=café&r=A"),
    ("https://example.org:443/", "https://example.org"),
    ("http://example.org:80/a", "http://example.org/a"),
    ("https://example.org:/a", "https://example.org/a"),
    ("HTTPS://Example.ORG/a", "example.org/a"),
    ("https://bücher.example/", "https://xn--bcher-kva.example"),
    ("https://BÜCHER.example", "https://XN--BCHER-KVA.example"),
    ("https://straße.example", "https://xn--strae-oqa.example"),
    ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah"),
    ("https://ｅｘａｍｐｌｅ．org", "https://example.org"),
    ("https://example.org/a/./b/../c", "https://example.org/a/c"),
    ("https://example.org/a/..", "https://example.org/"),
    ("https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x"),
    ("https://exam\u00adple.org\u200b/a", "https://example.org/a"),
    ("https://example.org/%FF%7E", "https://example.org/%ff~"),
]
OTHER = [
    ("https://example.org/A", "https://example.org/a"),
    ("https://example.org/a%2Fb", "https://example.org/a/b"),
    ("https://example.org/a/", "https://example.org/a"),
    ("https://example.org:8443", "https://example.org"),
    ("http://example.org:443", "http://example.org"),
    ("http://example.org", "https://example.org"),
    ("https://strasse.example", "https://straße.example"),
    ("https://Ada@example.org", "https://ada@example.org"),
    ("https://example.org/?a=%26", "https://example.org/?a=&"),
    ("https://example.org/%25", "https://example.org/%"),
    ("https://example.org/#a", "https://example.org/"),
    ("https://xn--.example", "https://example"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_they_say_the_same(one: str, other: str) -> None:
    canonical = LINK.local({"url": one})
    assert canonical == LINK.remote({"url": other, "text": "x"})
    assert canonical == LINK.local({"url": canonical})
    # The spelling that is there stays.
    assert LINK.to_local({"url": other, "text": ""}, {"url": one}) == {"url": one}


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_they_are_two(one: str, other: str) -> None:
    assert LINK.local({"url": one}) != LINK.remote({"url": other, "text": "x"})


@pytest.mark.parametrize(
    "text", ["https://exam ple.org", "mailto:ada@example.org", "https://[::1", "https://xn--\u00fc.de"]
)
def test_any_other_text_is_read_without_a_fault(text: str) -> None:
    canonical = LINK.local({"url": text})
    assert canonical == LINK.local({"url": canonical})

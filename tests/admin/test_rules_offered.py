"""A field's rule is chosen from those that make sense for it."""

import re
from typing import Any

from django.test import Client
from django.urls import reverse

from sync.choices import Rule
from sync.models import BoardLink, FieldMapping
from sync.registry import rules_for
from tests.admin.forms import values_of


def test_uniting_is_offered_for_lists_only(browser: Client, world: dict[str, Any]) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    html = browser.get(reverse("admin:sync_boardlink_change", args=[link.pk])).content.decode()
    rules = re.findall(r'<select[^>]*name="mappings-\d+-rule".*?</select>', html, re.DOTALL)
    assert rules
    assert all("newest" in rule and "union" not in rule for rule in rules)


def test_a_rule_that_a_field_cant_follow_is_refused_in_words(browser: Client, world: dict[str, Any]) -> None:
    link = BoardLink.objects.get(entity_type="contact")
    FieldMapping.objects.filter(link=link, key="phone").update(rule=Rule.UNION)
    url = reverse("admin:sync_boardlink_change", args=[link.pk])
    form = values_of(browser.get(url), "boardlink_form")
    answer = browser.post(url, form | {"mappings-2-rule": "union", "mappings-2-direction": "none"})
    assert answer.status_code == 200
    assert "is for lists" in answer.content.decode()
    assert FieldMapping.objects.get(link=link, key="phone").direction == "bidirectional"


def test_a_list_of_aliases_may_be_united_in_each_kind_of_column(db: None) -> None:
    link = BoardLink(entity_type="organization")
    for converter in ("list_text", "dropdown"):
        mapping = FieldMapping(link=link, key="aliases", fields=["aliases"], converter=converter)
        assert Rule.UNION in rules_for(mapping), converter
    one_label = FieldMapping(link=link, key="notes", fields=["notes"], converter="dropdown")
    assert Rule.UNION not in rules_for(one_label)

"""A field's rule is chosen from those that make sense for it."""

from sync.choices import Rule
from sync.models import BoardLink, FieldMapping
from sync.registry import rules_for


def test_a_list_of_aliases_may_be_united_in_each_kind_of_column(db: None) -> None:
    link = BoardLink(entity_type="organization")
    for converter in ("list_text", "dropdown"):
        mapping = FieldMapping(link=link, key="aliases", fields=["aliases"], converter=converter)
        assert Rule.UNION in rules_for(mapping), converter
    one_label = FieldMapping(link=link, key="notes", fields=["notes"], converter="dropdown")
    assert Rule.UNION not in rules_for(one_label)

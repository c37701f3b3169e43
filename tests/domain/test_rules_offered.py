"""A field's rule is chosen from those that make sense for it."""

from npd.models import Organization
from sync.admin.setup_forms import rules_for
from sync.choices import Rule
from sync.registry import MappingSpec


def test_a_list_of_aliases_may_be_united_in_each_kind_of_column() -> None:
    for converter in ("list_text", "dropdown"):
        mapping = MappingSpec("aliases", "Aliases", ("aliases",), converter, "")
        assert Rule.UNION in rules_for(Organization, mapping), converter
    one_label = MappingSpec("notes", "Notes", ("notes",), "dropdown", "")
    assert Rule.UNION not in rules_for(Organization, one_label)

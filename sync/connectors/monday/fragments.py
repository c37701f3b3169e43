"""What documents ask of an item, as a GraphQL fragment that depends on the types of the columns asked for."""

from collections.abc import Iterable
from functools import cache

__all__ = ["COMPLEXITY", "item_fields"]

COMPLEXITY = "complexity { query before after reset_in_x_seconds }"
"""What the call cost, in points; a root field of queries and of mutations."""

# What `value` and `text` don't say: the label behind an index, labels that hold a comma, connected items
# (their `value` is null since 2025-04), tags' names. One line a column type; the names of the fields are
# those of developer.monday.com/api-reference/reference/column-types-reference.
_ALWAYS = ("... on EmailValue { email label }", "... on PhoneValue { phone country_short_name }")
_OF_TYPE = {
    "board_relation": "... on BoardRelationValue { linked_item_ids }",
    "checkbox": "... on CheckboxValue { checked }",
    "dropdown": "... on DropdownValue { values { id label } }",
    "status": "... on StatusValue { index label }",
    "tags": "... on TagsValue { tags { id name } }",
}


@cache
def _item_fields(types: frozenset[str]) -> str:
    typed = "\n    ".join([*_ALWAYS, *(_OF_TYPE[name] for name in sorted(types))])
    return f"""
fragment ItemFields on Item {{
  id name state updated_at
  board {{ id }}
  column_values(ids: $columns) {{
    id type text value
    {typed}
  }}
}}
"""


def item_fields(types: Iterable[str] = ()) -> str:
    """The fragment `ItemFields`, with what columns of these types need besides the fields of all columns.

    Types that need nothing more change nothing, so that few texts exist and the usual ones stay small.
    """
    return _item_fields(frozenset(types).intersection(_OF_TYPE))

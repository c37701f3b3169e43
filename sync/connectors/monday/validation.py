"""What a board's own validation asks of its values: columns that must not be empty, and rules about one column each.

Monday refuses what breaks them (developer.monday.com/api-reference/docs/validation-rules-guide, as of 2026-09). It is
said before a value is sent, but only where that is certain: rules with a condition depend on other columns, and those
about phone numbers, links, email addresses and countries on the text that Monday shows of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sync.connectors.base.board import BoardRules
from sync.connectors.base.conversion import Canonical
from sync.connectors.monday.graphql import json_object, mapping_or_empty

FIELDS = "required_column_ids rules"
"""What is asked of the field `validations`."""

Comparison = Callable[[Any, Any], bool]

_COMPARISONS: Mapping[str, tuple[Comparison, str, str]] = {
    "EQUALS": (operator.eq, "{}", "{}"),
    "NOT_EQUALS": (operator.ne, "other than {}", "other than {}"),
    "GREATER_THAN": (operator.gt, "more than {}", "later than {}"),
    "GREATER_THAN_OR_EQUALS": (operator.ge, "at least {}", "{} or later"),
    "LOWER_THAN": (operator.lt, "less than {}", "earlier than {}"),
    "LOWER_THAN_OR_EQUAL": (operator.le, "at most {}", "{} or earlier"),
}
"""How a number, and a date, has to compare with the rule's value, and how that is said of either."""


def parse_rules(node: Any) -> BoardRules | None:
    """Read the answer to `validations`; None where it tells nothing, as on plans without this feature."""
    if not isinstance(node, Mapping):
        return None
    ids = node.get("required_column_ids")
    columns: dict[str, dict[str, Any]] = {str(one): {"required": True} for one in ids or () if one}
    conditional = 0
    for rule in json_object(node.get("rules")).values():
        if mapping_or_empty(rule).get("if"):
            conditional += 1
            continue
        groups = mapping_or_empty(mapping_or_empty(rule).get("then")).get("groups")
        # Without a condition a rule has exactly one constraint.
        if isinstance(groups, list) and len(groups) == 1 and (told := mapping_or_empty(groups[0])).get("column_id"):
            column = columns.setdefault(str(told["column_id"]), {})
            values = told.get("compare_value")
            column |= {"operator": str(told.get("operator")), "values": values if isinstance(values, list) else []}
    return BoardRules(columns, conditional)


def broken_rule(column_type: str, value: Canonical, rule: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """Why the board will certainly refuse the value of a column, as the end of a sentence; None where it may take it.

    `labels` are the column's, by the ids that rules hold.
    """
    if value is None:
        needed = "the board requires a value; fill it in NPD, or make the column optional on the board"
        return needed if rule.get("required") else None
    name, given = str(rule.get("operator") or ""), [str(one) for one in rule.get("values") or ()]
    words: str | None = None
    if column_type in ("status", "dropdown"):
        chosen = {value} if isinstance(value, str) else set(value)
        words = _label_words(name, chosen, [labels[one] for one in given if one in labels])
    elif not isinstance(value, str) or not given:
        return None
    elif column_type == "numbers":
        words = _number_words(name, value, given[0])
    elif column_type == "date":
        words = _date_words(name, value, [one for one in given if one != "EXACT"])
    elif column_type in ("text", "long_text"):
        words = _text_words(name, value, given[0])
    shown = value if isinstance(value, str) else ", ".join(value)
    if words is None:
        return None
    return (
        f"“{shown}” breaks a validation rule of the board; it must {words}. Change it in NPD, or the rule on the board"
    )


def _label_words(name: str, chosen: Collection[str], listed: Collection[str]) -> str | None:
    # Of several labels the guide doesn't say whether all count: none of them may do, or all of them are excluded.
    if name == "ANY_OF" and not set(chosen) & set(listed):
        return f"be one of {', '.join(sorted(listed)) or 'no label that the column has'}"
    if name == "NOT_ANY_OF" and set(chosen) <= set(listed):
        return f"be none of {', '.join(sorted(listed))}"
    return None


def _number_words(name: str, value: str, given: str) -> str | None:
    compare, words, _ = _COMPARISONS.get(name, (None, "", ""))
    try:
        return f"be {words.format(given)}" if compare and not compare(Decimal(value), Decimal(given)) else None
    except InvalidOperation:
        return None


def _date_words(name: str, value: str, given: list[str]) -> str | None:
    # ISO dates compare as texts.
    if name == "BETWEEN" and len(given) == 2:
        return None if given[0] <= value <= given[1] else f"be from {given[0]} to {given[1]}"
    compare, _, words = _COMPARISONS.get(name, (None, "", ""))
    return f"be {words.format(given[0])}" if compare and given and not compare(value, given[0]) else None


def _text_words(name: str, value: str, given: str) -> str | None:
    # Whether Monday minds the case isn't documented, so each doubt is the value's benefit.
    has, begins = given.casefold() in value.casefold(), value.casefold().startswith(given.casefold())
    if name == "CONTAINS_TEXT" and not has:
        return f"contain “{given}”"
    if name == "STARTS_WITH_TEXT" and not begins:
        return f"begin with “{given}”"
    return f"not contain “{given}”" if name == "NOT_CONTAINS_TEXT" and given in value else None

"""Complexity points. Monday publishes totals (10,000 for a create) and no formula: this one is plausible.

Source of the figures: developer.monday.com/api-reference/docs/rate-limits and development-best-practices.
"""

from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    VariableNode,
)
from graphql.language import FragmentDefinitionNode, OperationDefinitionNode, OperationType, SelectionSetNode

MUTATION_POINTS = 10_000
COLUMN_VALUES_POINTS = 12
FREE = ("complexity", "__typename")
LISTS = ("items", "boards", "items_page", "next_items_page", "items_page_by_column_values", "activity_logs")
DEFAULT_LIMIT = 25
Fragments = dict[str, FragmentDefinitionNode]


def points(operation: OperationDefinitionNode, fragments: Fragments, variables: dict[str, Any]) -> int:
    """What a request costs."""
    if operation.operation == OperationType.MUTATION:
        fields = opened(operation.selection_set, fragments)
        return sum(MUTATION_POINTS for field in fields if field.name.value not in FREE)
    return _points(operation.selection_set, fragments, variables, 1)


def _points(selections: SelectionSetNode, fragments: Fragments, variables: dict[str, Any], times: int) -> int:
    total = 0
    for field in opened(selections, fragments):
        name = field.name.value
        if field.selection_set is None or name in FREE:
            continue
        inner = times * (_count(field, variables) if name in LISTS else 1)
        if name == "items" and times > 1:
            inner = times
        total += inner * (COLUMN_VALUES_POINTS if name == "column_values" else 1)
        if name != "column_values":
            total += _points(field.selection_set, fragments, variables, inner)
    return total


def opened(selections: SelectionSetNode, fragments: Fragments) -> list[FieldNode]:
    """The fields of a selection, fragments opened."""
    fields: list[FieldNode] = []
    for node in selections.selections:
        if isinstance(node, FieldNode):
            fields.append(node)
        elif isinstance(node, InlineFragmentNode):
            fields += opened(node.selection_set, fragments)
        elif isinstance(node, FragmentSpreadNode) and node.name.value in fragments:
            fields += opened(fragments[node.name.value].selection_set, fragments)
    return fields


def _count(field: FieldNode, variables: dict[str, Any]) -> int:
    """How many rows a listing may have: what is asked for, and never fewer than none."""
    given = {argument.name.value: argument.value for argument in field.arguments or ()}
    ids, limit = given.get("ids"), given.get("limit")
    if isinstance(ids, ListValueNode):
        return len(ids.values)
    if isinstance(ids, VariableNode) and isinstance(variables.get(ids.name.value), list):
        return len(variables[ids.name.value])
    if isinstance(limit, IntValueNode):
        return max(0, int(limit.value))
    if isinstance(limit, VariableNode) and isinstance(variables.get(limit.name.value), int):
        return max(0, int(variables[limit.name.value]))
    return DEFAULT_LIMIT if ids is None else 1

"""Monday's GraphQL: the schema with its resolvers, and documents that are parsed, validated and counted in points.

Monday publishes totals of points but no formula; this one is plausible. The figures come from the sources named at the
constants and from developer.monday.com/api-reference/docs/rate-limits and development-best-practices.
"""

import functools
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graphql

from sandbox import api_errors
from sandbox.graph import resolvers
from sandbox.graph.resolvers import Root

# Of the version 2026-10.
SCHEMA_FILE = Path(__file__).parent.parent / "schema.graphql"


@functools.cache
def schema() -> graphql.GraphQLSchema:
    """Return the executable part of Monday's schema that the sandbox plays."""
    built = graphql.build_schema(SCHEMA_FILE.read_text(encoding="utf-8"))
    types: dict[str, Any] = dict(built.type_map)
    # By default a root field is an attribute or a method of the root object. So is a mutation's `complexity`, which
    # therefore isn't one of MUTATIONS.
    for name in resolvers.MUTATIONS:
        types["Mutation"].fields[name].resolve = resolvers.mutate
    for type_name, fields in resolvers.FIELDS.items():
        for name, resolve in fields.items():
            types[type_name].fields[name].resolve = resolve
    return built


FREE_FIELDS = ("complexity", "__typename")
MUTATION_POINTS = 10_000  # of a mutation that nobody has measured

# Measured: change_column_value in 2026-07 (users' notes on live answers), creating and deleting items in 2022 (30,001;
# community.monday.com 36629). Similar mutations of items are assumed to cost the same. Monday's
# docs/development-best-practices say 10,000 for create_item.
ITEM_MUTATION_POINTS = 30_000
ITEM_MUTATIONS = ("archive_item", "change_multiple_column_values", "create_item", "delete_item")

# And one for each row: the smallest reads were measured at 23 (github.com/ilaiyomsh/monday-apps, 2026-07).
READ_POINTS = 22
Fragments = dict[str, graphql.FragmentDefinitionNode]


@dataclass(frozen=True)
class Operation:
    """The operation of a document that a request asks for."""

    document: graphql.DocumentNode
    node: graphql.OperationDefinitionNode
    fragments: Fragments

    @property
    def is_mutation(self) -> bool:
        return self.node.operation == graphql.OperationType.MUTATION

    @property
    def name(self) -> str | None:
        return self.node.name.value if self.node.name else None

    @property
    def kind(self) -> str:
        return "mutation" if self.is_mutation else "query"

    @functools.cached_property
    def fields(self) -> list[tuple[str, str]]:
        """The alias and the name of each root field."""
        nodes = _expanded_fields(self.node.selection_set, self.fragments)
        return [(node.alias.value if node.alias else node.name.value, node.name.value) for node in nodes]

    @functools.cached_property
    def _nodes(self) -> list[graphql.FieldNode]:
        return list(_nested_fields(self.node.selection_set, self.fragments))

    def names(self) -> set[str]:
        """Return the names of the fields at any depth."""
        return {node.name.value for node in self._nodes}

    def has_cursor(self, variables: dict[str, Any]) -> bool:
        return any(arguments_of(node, variables).get("cursor") is not None for node in self._nodes)

    def points(self, variables: dict[str, Any]) -> int:
        if self.is_mutation:
            names = [name for _, name in self.fields if name not in FREE_FIELDS]
            return sum(ITEM_MUTATION_POINTS if name in ITEM_MUTATIONS else MUTATION_POINTS for name in names)
        root_points = _selection_points(self.node.selection_set, self.fragments, variables, 1)
        # Nothing but `complexity` costs nothing, so that a client can ask what is left.
        return READ_POINTS + root_points if root_points else 0


# For a document with 25 aliases parsing took 3.4 ms and validating 5.4, while executing it took 0.5.
@functools.lru_cache(maxsize=1024)
def prepare(query: str, operation_name: str | None) -> Operation:
    """Return the operation to run; raises RequestError when the document doesn't parse or validate."""
    try:
        document = graphql.parse(query)
    except graphql.GraphQLError as error:
        message = error.message.removeprefix("Syntax Error: ")
        raise api_errors.unparsable_document(message, list(error.formatted.get("locations", []))) from None
    if errors := graphql.validate(schema(), document):
        raise _invalid(errors)
    nodes = [node for node in document.definitions if isinstance(node, graphql.OperationDefinitionNode)]
    matching = [node for node in nodes if operation_name is None or (node.name and node.name.value == operation_name)]
    # Without a name only a document with one operation is clear.
    if len(matching) != 1:
        raise api_errors.RequestError(400, "Name one operation of the document", "GRAPHQL_VALIDATION_FAILED")
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, graphql.FragmentDefinitionNode)
    }
    return Operation(document, matching[0], fragments)


def run(operation: Operation, variables: dict[str, Any], root: Root, *middleware: Any) -> dict[str, Any]:
    """Return `data`, and `errors` where fields failed; raises RequestError when the variables don't fit."""
    result = graphql.execute_sync(
        schema(),
        operation.document,
        root_value=root,
        context_value=root,
        variable_values=variables,
        operation_name=operation.name,
        middleware=middleware or None,
    )
    if not isinstance(result, graphql.ExecutionResult):
        raise TypeError("the sandbox's resolvers are synchronous")
    failures = result.errors or []
    # Errors without a path are about the variables: nothing was executed.
    if result.data is None and failures and all(error.path is None for error in failures):
        raise _invalid(failures)
    for error in failures:
        if isinstance(error.original_error, api_errors.RequestError):  # the field refuses the whole request
            raise error.original_error
    answer: dict[str, Any] = {"data": result.data}
    for error in failures:
        if error.original_error is not None and not isinstance(error.original_error, api_errors.FieldError):
            # A failure of the sandbox's own looks to the client like one of Monday's: HTTP 200 with `data` null, and
            # `error_code` in the place of `code` (monday_ruby, 2025-10).
            traceback.print_exception(error.original_error)
            extensions = {"status_code": 500, "error_code": "INTERNAL_SERVER_ERROR", "service": api_errors.SERVICE}
            entry = {"message": "Internal server error", "path": [], "extensions": extensions}
            return {"data": None, "errors": [entry]}
        answer.setdefault("errors", []).append(dict(error.formatted))
    return answer


QUOTED = re.compile(r"'([\w.$!\[\]]+)'")


def _invalid(errors: list[graphql.GraphQLError]) -> api_errors.RequestError:
    # graphql-core quotes names by ', and Monday's library by ".
    entries = [dict(error.formatted) | {"message": QUOTED.sub(r'"\1"', error.message)} for error in errors]
    return api_errors.invalid_document(entries)


COLUMN_VALUES_POINTS = 12  # of all values of an item: our guess
LIST_FIELDS = ("items", "boards", "items_page", "next_items_page", "items_page_by_column_values", "activity_logs")


def _selection_points(
    selections: graphql.SelectionSetNode, fragments: Fragments, variables: dict[str, Any], times: int
) -> int:
    """Return the points of a selection in so many rows."""
    total = 0
    for field in _expanded_fields(selections, fragments):
        name = field.name.value
        if field.selection_set is None or name in FREE_FIELDS:
            continue
        # A page's "items" cost a point each, but aren't multiplied by a limit again; those asked for by ids are a list.
        has_page_rows = name == "items" and "ids" not in arguments_of(field, variables)
        rows = times if has_page_rows or name not in LIST_FIELDS else times * _row_limit(field, variables)
        if name == "column_values":
            total += rows * COLUMN_VALUES_POINTS
        else:
            total += rows + _selection_points(field.selection_set, fragments, variables, rows)
    return total


def _row_limit(field: graphql.FieldNode, variables: dict[str, Any]) -> int:
    """Return how many rows a listing may have, by its arguments."""
    arguments = arguments_of(field, variables)
    ids = arguments.get("ids")
    limit = arguments.get("limit")
    # Asked for by ids, a listing can't have more rows than these.
    if ids is not None:
        return len(ids) if isinstance(ids, list) else 1
    return max(0, limit) if isinstance(limit, int) else resolvers.DEFAULT_LIMIT


def arguments_of(field: graphql.FieldNode, variables: dict[str, Any]) -> dict[str, Any]:
    return {
        argument.name.value: graphql.value_from_ast_untyped(argument.value, variables)
        for argument in field.arguments or ()
    }


def _nested_fields(selections: graphql.SelectionSetNode, fragments: Fragments) -> Iterator[graphql.FieldNode]:
    for node in _expanded_fields(selections, fragments):
        yield node
        if node.selection_set is not None:
            yield from _nested_fields(node.selection_set, fragments)


def _expanded_fields(selections: graphql.SelectionSetNode, fragments: Fragments) -> list[graphql.FieldNode]:
    """Return the fields of a selection and of its fragments."""
    fields: list[graphql.FieldNode] = []
    for node in selections.selections:
        if isinstance(node, graphql.FieldNode):
            fields.append(node)
        elif isinstance(node, graphql.InlineFragmentNode):
            fields += _expanded_fields(node.selection_set, fragments)
        elif isinstance(node, graphql.FragmentSpreadNode) and node.name.value in fragments:
            fields += _expanded_fields(fragments[node.name.value].selection_set, fragments)
    return fields

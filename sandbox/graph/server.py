"""The schema with its resolvers, and documents parsed and validated once."""

import functools
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute_sync,
    extend_schema,
    parse,
    print_schema,
    validate,
)
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    NullValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)

from sandbox.errors import FieldError, RequestError
from sandbox.graph import account, bulk, complexity, platform, structure, talk
from sandbox.graph.context import Context
from sandbox.graph.meddling import Middleware
from sandbox.graph.mutations import MUTATION
from sandbox.graph.queries import BOARD, COLUMN, GROUP, ITEM, QUERY, WEBHOOK
from sandbox.ingest import resolvers as imports

SCHEMA_FILE = Path(__file__).parent.parent / "schema.graphql"
BEFORE_2026_10_FILE = SCHEMA_FILE.with_name("before-2026-10.graphql")
RESOLVERS = {
    "Query": QUERY | platform.QUERY | account.QUERY | talk.QUERY | bulk.QUERY | imports.QUERY,
    "Mutation": MUTATION
    | structure.MUTATION
    | account.MUTATION
    | talk.MUTATION
    | bulk.MUTATION
    | imports.MUTATION,
    "Board": BOARD | talk.BOARD,
    "Item": ITEM | talk.ITEM,
    "Column": COLUMN,
    "Group": GROUP,
    "User": account.USER | platform.USER,
    "Team": account.TEAM,
    "TagsValue": account.TAGS_VALUE,
    "Update": talk.UPDATE,
    "Reply": talk.REPLY,
    "Webhook": WEBHOOK,
}


@functools.cache
def schema(*, old: bool = False) -> GraphQLSchema:
    """The part of Monday's schema that the sandbox plays, ready to execute; `old` is that of before 2026-10."""
    built = build_schema(SCHEMA_FILE.read_text(encoding="utf-8"))
    if old:
        built = extend_schema(built, parse(BEFORE_2026_10_FILE.read_text(encoding="utf-8")))
    resolved = RESOLVERS | ({"User": RESOLVERS["User"] | account.OLD_USER} if old else {})
    for type_name, resolvers in resolved.items():
        fields: dict[str, Any] = built.type_map[type_name].fields  # type: ignore[attr-defined]
        for name, resolver in resolvers.items():
            fields[name].resolve = resolver
    return built


@functools.cache
def sdl(*, old: bool = False) -> str:
    """The same as text."""
    return print_schema(schema(old=old))


@dataclass(frozen=True)
class Operation:
    """One operation of a valid document."""

    document: DocumentNode
    node: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    schema: GraphQLSchema

    @property
    def is_mutation(self) -> bool:
        return self.node.operation == OperationType.MUTATION

    @property
    def name(self) -> str | None:
        return self.node.name.value if self.node.name else None

    @property
    def kind(self) -> str:
        return "mutation" if self.is_mutation else "query"

    @property
    def is_only_complexity(self) -> bool:
        """Whether nothing but the complexity is asked for, which Monday counts a tenth of a call."""
        return not self.is_mutation and {name for _, name in self.fields()} <= set(complexity.FREE)

    def fields(self) -> list[tuple[str, str]]:
        """Alias and name of each field at the root."""
        return self._roots

    @functools.cached_property
    def _roots(self) -> list[tuple[str, str]]:
        nodes = complexity.opened(self.node.selection_set, self.fragments)
        return [(node.alias.value if node.alias else node.name.value, node.name.value) for node in nodes]

    @functools.cached_property
    def _nodes(self) -> list[FieldNode]:
        return list(_within(self.node.selection_set, self.fragments))

    def names(self) -> set[str]:
        """The names of all fields, also of those inside others."""
        return {node.name.value for node in self._nodes}

    def turns_a_page(self, variables: dict[str, Any]) -> bool:
        """Whether a cursor is given."""
        values = [a.value for node in self._nodes for a in node.arguments or () if a.name.value == "cursor"]
        given = (variables.get(v.name.value) if isinstance(v, VariableNode) else v for v in values)
        return any(value is not None and not isinstance(value, NullValueNode) for value in given)

    def points(self, variables: dict[str, Any]) -> int:
        return complexity.points(self.node, self.fragments, variables)


def _within(
    selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    for node in complexity.opened(selections, fragments):
        yield node
        if node.selection_set is not None:
            yield from _within(node.selection_set, fragments)


@functools.lru_cache(maxsize=1024)
def _checked(query: str, old: bool) -> tuple[DocumentNode | None, str, list[GraphQLError]]:
    """The document, or the code and the errors of its refusal."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, "GRAPHQL_PARSE_FAILED", [error]
    found = validate(schema(old=old), document)
    return (None if found else document), "GRAPHQL_VALIDATION_FAILED", found


@functools.lru_cache(maxsize=1024)
def prepare(query: str, operation_name: str | None, old: bool = False) -> Operation:
    """The operation to run. RequestError (400) when the document does not parse or validate."""
    document, code, found = _checked(query, old)
    if document is None:
        raise _refusal(code, found)
    nodes = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    named = [n for n in nodes if operation_name is None or (n.name and n.name.value == operation_name)]
    if len(named) != 1:
        raise RequestError(400, "Name one operation of the document", "GRAPHQL_VALIDATION_FAILED")
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    return Operation(document, named[0], fragments, schema(old=old))


def run(
    operation: Operation, variables: dict[str, Any], context: Context, *middleware: Middleware | None
) -> dict[str, Any]:
    """`data`, and `errors` where fields failed. RequestError (400) when the variables don't fit.

    `middleware` stands around each field's resolver.
    """
    result = execute_sync(
        operation.schema,
        operation.document,
        context_value=context,
        variable_values=variables,
        operation_name=operation.name,
        middleware=[one for one in middleware if one] or None,
    )
    if not isinstance(result, ExecutionResult):
        raise TypeError("the sandbox's resolvers are synchronous")
    found = result.errors or []
    if result.data is None and found and all(error.path is None for error in found):
        raise _refusal("GRAPHQL_VALIDATION_FAILED", found)
    for error in found:
        if isinstance(error.original_error, RequestError):  # a field whose refusal is the whole request's
            raise error.original_error
    answer: dict[str, Any] = {"data": result.data}
    if found:
        answer["errors"] = [_formatted(error) for error in found]
    return answer


def _formatted(error: GraphQLError) -> dict[str, Any]:
    shown = dict(error.formatted)
    if error.original_error is not None and not isinstance(error.original_error, FieldError):
        traceback.print_exception(error.original_error)
        shown["message"] = "Internal server error"
        shown["extensions"] = {"code": "INTERNAL_SERVER_ERROR", "status_code": 500}
    return shown


def _refusal(code: str, found: list[GraphQLError]) -> RequestError:
    refusal = RequestError(400, found[0].message, code)
    refusal.errors = [dict(error.formatted) | {"extensions": {"code": code}} for error in found]
    return refusal

"""The schema with its resolvers, and documents parsed and validated once."""

import functools
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    OperationType,
)

from sandbox.errors import FieldError, RequestError
from sandbox.graph import complexity
from sandbox.graph.context import Context
from sandbox.graph.mutations import MUTATION
from sandbox.graph.queries import BOARD, COLUMN, GROUP, ITEM, QUERY, USER, WEBHOOK

SCHEMA_FILE = Path(__file__).parent.parent / "schema.graphql"
RESOLVERS = {
    "Query": QUERY,
    "Mutation": MUTATION,
    "Board": BOARD,
    "Item": ITEM,
    "Column": COLUMN,
    "Group": GROUP,
    "User": USER,
    "Webhook": WEBHOOK,
}


@functools.cache
def schema() -> GraphQLSchema:
    """The part of Monday's schema that the sandbox plays, ready to execute."""
    built = build_schema(SCHEMA_FILE.read_text(encoding="utf-8"))
    for type_name, resolvers in RESOLVERS.items():
        fields: dict[str, Any] = built.type_map[type_name].fields  # type: ignore[attr-defined]
        for name, resolver in resolvers.items():
            fields[name].resolve = resolver
    return built


@dataclass(frozen=True)
class Operation:
    """One operation of a valid document."""

    document: DocumentNode
    node: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]

    @property
    def is_mutation(self) -> bool:
        return self.node.operation == OperationType.MUTATION

    @property
    def name(self) -> str | None:
        return self.node.name.value if self.node.name else None

    def fields(self) -> list[tuple[str, str]]:
        """Alias and name of each field at the root."""
        nodes = (node for node in self.node.selection_set.selections if isinstance(node, FieldNode))
        return [(node.alias.value if node.alias else node.name.value, node.name.value) for node in nodes]

    def points(self, variables: dict[str, Any]) -> int:
        return complexity.points(self.node, self.fragments, variables)


@functools.lru_cache(maxsize=1024)
def _checked(query: str) -> tuple[DocumentNode | None, str, list[GraphQLError]]:
    """The document, or the code and the errors of its refusal."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, "GRAPHQL_PARSE_FAILED", [error]
    found = validate(schema(), document)
    return (None if found else document), "GRAPHQL_VALIDATION_FAILED", found


def prepare(query: str, operation_name: str | None) -> Operation:
    """The operation to run. RequestError (400) when the document does not parse or validate."""
    document, code, found = _checked(query)
    if document is None:
        raise _refusal(code, found)
    nodes = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    named = [n for n in nodes if operation_name is None or (n.name and n.name.value == operation_name)]
    if len(named) != 1:
        raise RequestError(400, "Name one operation of the document", "GRAPHQL_VALIDATION_FAILED")
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    return Operation(document, named[0], fragments)


def run(operation: Operation, variables: dict[str, Any], context: Context) -> dict[str, Any]:
    """`data`, and `errors` where fields failed. RequestError (400) when the variables don't fit."""
    result = execute_sync(
        schema(),
        operation.document,
        context_value=context,
        variable_values=variables,
        operation_name=operation.name,
    )
    if not isinstance(result, ExecutionResult):
        raise TypeError("the sandbox's resolvers are synchronous")
    found = result.errors or []
    if result.data is None and found and all(error.path is None for error in found):
        raise _refusal("GRAPHQL_VALIDATION_FAILED", found)
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

"""What all resolvers share."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from sandbox import errors
from sandbox.graph.context import Context
from sandbox.web import decoded

Resolver = Callable[..., Any]
Row = TypeVar("Row")


def number(given: Any) -> int:
    """An id as Monday numbers its things; ids that are no number belong to nothing."""
    try:
        return int(given)
    except (TypeError, ValueError):
        return -1


def context_of(info: Any) -> Context:
    """What the request brought."""
    context: Context = info.context
    return context


def part(rows: list[Row], wanted: dict[str, Any]) -> list[Row]:
    """The rows of `page` with `limit` rows a page, 25 unless told."""
    limit, page = wanted.get("limit") or 25, wanted.get("page") or 1
    return rows[max(page - 1, 0) * limit : max(page, 1) * limit]


def json_in(given: Any) -> Any:
    """What an argument of type JSON holds; it may come as JSON in a string. JsonParseException."""
    if not isinstance(given, str):
        return given
    try:
        return decoded(given)
    except ValueError:
        raise errors.not_json(given) from None


def resolver(mutation: Resolver) -> Resolver:
    """A mutation that takes the context, as graphql calls it."""

    @wraps(mutation)
    def resolve(_: Any, info: Any, **arguments: Any) -> Any:
        info.context.slow_mutation()
        return mutation(info.context, **arguments)

    return resolve


def resolvers(*mutations: Resolver) -> dict[str, Resolver]:
    """Mutations by their names."""
    return {mutation.__name__: resolver(mutation) for mutation in mutations}

"""What all resolvers share."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from sandbox import errors
from sandbox.graph.context import Context
from sandbox.web import decoded

ID = re.compile(r"[0-9]{1,18}")
NOBODYS = -1
Resolver = Callable[..., Any]
Row = TypeVar("Row")


def number(given: Any) -> int:
    """An id as Monday numbers its things; ids that are no number belong to nothing."""
    words = str(given)
    return int(words) if ID.fullmatch(words) else NOBODYS


def context_of(info: Any) -> Context:
    """What the request brought."""
    context: Context = info.context
    return context


def part(rows: list[Row], wanted: dict[str, Any]) -> list[Row]:
    """The rows of `page` with `limit` rows a page, 25 unless told."""
    start, end = span(wanted)
    return rows[start:end]


def span(wanted: dict[str, Any]) -> tuple[int, int]:
    """The first row of `page` and the one after its last. InvalidArgumentException for numbers below 1."""
    limit, page = wanted.get("limit"), wanted.get("page")
    limit, page = 25 if limit is None else limit, 1 if page is None else page
    if limit < 1 or page < 1:
        raise errors.invalid_argument("limit and page must be 1 or more")
    return (page - 1) * limit, page * limit


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

"""What every error of Monday's says: what it concerns, whether to repeat, how long to wait, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar


class Scope(StrEnum):
    """What an error concerns, and so what has to stop because of it."""

    RECORD = "record"
    FIELD = "field"
    COLUMN = "column"
    BOARD = "board"
    ACCOUNT = "account"
    LIMIT = "limit"
    TRANSPORT = "transport"
    UNREACHABLE = "unreachable"
    DOCUMENT = "document"


class MondayError(Exception):
    """Monday.com refused or didn't answer.

    `wait_seconds` is the wait that Monday asked for; `path` is the GraphQL path of the error and `path_alias`
    its first element, the alias of the mutation that it concerns; `errors` are the single errors of an answer
    that failed as a whole.
    """

    scope: ClassVar[Scope] = Scope.RECORD
    outcome_unknown: ClassVar[bool] = False
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = "Look at the record and at its item on the board."

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        request_id: str | None = None,
        http_status: int | None = None,
        wait_seconds: float | None = None,
        path: Sequence[str | int] = (),
        column_id: str | None = None,
        column_type: str | None = None,
        errors: Sequence[MondayError] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.wait_seconds = wait_seconds
        self.path = tuple(path)
        self.column_id = column_id
        self.column_type = column_type
        self.errors = tuple(errors)

    def hide(self, secret: str, instead: str) -> None:
        """Take a text out of all that this error says, for Monday may repeat what it was sent."""
        self.message = self.message.replace(secret, instead)
        self.args = (self.message,)
        for error in self.errors:
            error.hide(secret, instead)

    @property
    def path_alias(self) -> str | None:
        """The alias in our document that the error concerns, if Monday named one."""
        return str(self.path[0]) if self.path else None

    @property
    def sentence(self) -> str:
        """What happened, for whom, and what to do next, in words for a person."""
        subject = f" (column {self.column_id})" if self.column_id else ""
        wait = f" Monday asks to wait {self.wait_seconds:.0f} s." if self.wait_seconds else ""
        trace = f" [Monday request {self.request_id}]" if self.request_id else ""
        return f"{_capital(self.message.rstrip(' .'))}{subject}. {self.advice}{wait}{trace}"

    def __str__(self) -> str:
        return self.sentence


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

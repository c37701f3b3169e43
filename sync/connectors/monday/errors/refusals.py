"""Refused: a record, a field, a column, a board, the account or the document; nothing was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.connectors.monday.errors.base import MondayError, Scope

if TYPE_CHECKING:
    from sync.connectors.monday.answers import Answer


class RecordRefused(MondayError):
    """Monday refused this record; the document's other records are not touched by that."""


class ItemNotFound(RecordRefused):
    advice = "The item may have been deleted or moved to another board; open the board and look for it."


class ItemInactive(RecordRefused):
    advice = "The item is archived or deleted on Monday; restore it there, or decide here what becomes of it."


class FieldRefused(MondayError):
    """Monday refused one value; only this field is held."""

    scope = Scope.FIELD
    advice = "Correct the value in NPD, or change the column on the board."


class NameRefused(FieldRefused):
    advice = "An item's name has 1 to 255 characters; change the name in NPD."


class ColumnRefused(MondayError):
    """Nothing can be written to this column."""

    scope = Scope.COLUMN
    advice = "Map the field to another column, or restore the column on the board."


class ColumnGone(ColumnRefused):
    """The column doesn't exist on the board any more."""


class ColumnUnsupported(ColumnRefused):
    advice = "Monday's API can't write this type of column; map the field to another one."


class BoardRefused(MondayError):
    """Nothing can be done on this board."""

    scope = Scope.BOARD
    advice = "Open the board on Monday and check that it is there and not archived."


class BoardGone(BoardRefused):
    advice = "Check the board's id in the settings, and that the token's user can see the board."


class BoardForbidden(BoardRefused):
    advice = "Give the user of the API token the right to edit this board."


class BoardFull(BoardRefused):
    advice = "Archive items on the board, or ask Monday for a higher limit."


class BoardLocked(BoardRefused):
    retryable = True
    advice = "Another change holds the board; it is tried again by itself."


class GroupGone(BoardRefused):
    """The group to which new items go doesn't exist any more, so none can be made."""

    advice = "Run `manage.py monday_setup`: it chooses another group for new items."


class WebhookAddressUnreachable(BoardRefused):
    advice = "SITE_URL has to be an address that Monday can reach from the internet."


class AccountRefused(MondayError):
    """Every call of this token would be refused now."""

    scope = Scope.ACCOUNT
    advice = "Check the Monday account and its API token."


class NotAuthenticated(AccountRefused):
    advice = "Set MONDAY_API_KEY to a valid API token of the account."


class UserDenied(AccountRefused):
    advice = "The token's user must be active, not a viewer, and have a confirmed e-mail address; see to it on Monday."


class AddressForbidden(AccountRefused):
    advice = "An administrator of the Monday account must allow this server's IP address."


class PermissionMissing(AccountRefused):
    advice = (
        "Give the API token the scopes boards:read/write, webhooks:read/write, me:read, account:read and users:read; "
        "an app's token keeps the scopes it was granted, so it must be granted anew."
    )


class AccountBlocked(AccountRefused):
    retryable = True
    advice = "Monday has blocked the API for a while; it is tried again by itself."


class VersionRefused(AccountRefused):
    advice = "Set MONDAY_API_VERSION to a version that Monday serves, such as 2026-10."


class WrongVersion(AccountRefused):
    """Another API version answered than the one that was asked for, so answers may be of another shape.

    An old version is replaced by Monday without an error (developer.monday.com/api-reference/docs/api-versioning).
    `answer` is what it answered all the same: good enough to tell which versions there are.
    """

    advice = (
        "Set MONDAY_API_VERSION to the version that Monday calls current; `manage.py monday_check` names it."
    )
    answer: Answer | None = None


class WrongAddress(AccountRefused):
    advice = "Check MONDAY_API_URL; Monday's own is https://api.monday.com/v2."


class DocumentRefused(MondayError):
    """The request was refused as a whole before any of it ran."""

    scope = Scope.DOCUMENT
    advice = "This is most likely a fault of NPD Sync: please report it with the request id."


class TooComplex(DocumentRefused):
    """The one request costs more points than Monday allows; a smaller one may pass."""

    advice = "It is sent again in smaller parts; a record that is refused alone needs fewer mapped columns."


class CursorExpired(DocumentRefused):
    retryable = True
    advice = "The listing is started again from its first page."

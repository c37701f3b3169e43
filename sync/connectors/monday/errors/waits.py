"""Not now: a limit was reached, or no answer says what became of the request."""

from __future__ import annotations

from sync.connectors.monday.errors.base import MondayError, Scope


class LimitReached(MondayError):
    """A rate limit; the request was not carried out."""

    scope = Scope.LIMIT
    retryable = True
    advice = "It is sent again by itself after the wait."


class BudgetExhausted(LimitReached):
    """The shared allowance has no room for the call, so it was not sent; `wait_seconds` says until when.

    Its message is whole sentences: which allowance it is, and when it goes on. Monday was not asked.
    """

    advice = "It goes out by itself as soon as there is room."

    @property
    def sentence(self) -> str:
        if self.message.endswith("."):
            return self.message
        wait = f" There is room in {self.wait_seconds:.0f} s." if self.wait_seconds else ""
        return f"{self.message}. {self.advice}{wait}"


class CallerEnds(BudgetExhausted):
    """The process that would make the call was told to end, so it was not sent; another makes it."""


class ComplexityExhausted(LimitReached):
    """The complexity points of this minute are used up."""


class MinuteLimitReached(LimitReached):
    """Too many requests within a minute."""


class ConcurrencyLimitReached(LimitReached):
    """Too many requests at the same time."""


class DailyLimitReached(LimitReached):
    advice = "The account's calls for today are used up; it goes on by itself after midnight UTC."


class AddressLimitReached(LimitReached):
    """Too many requests from this network address."""


class JobLimitReached(LimitReached):
    """The account's bulk jobs of this hour are used up; calls of other kinds are not concerned.

    100 starts an hour (developer.monday.com/api-reference/reference/ingest-items-api-reference).
    """

    advice = "The import goes on by itself after the wait."


class FieldLimitReached(LimitReached):
    """One field of the answer was left out because of a limit; null there says nothing of the value."""


class OutcomeUnknown(MondayError):
    """The request was sent, and whether it took effect is not known."""

    scope = Scope.TRANSPORT
    outcome_unknown = True
    retryable = True
    advice = "It is tried again by itself; both sides are read before anything is sent."


class TimedOut(OutcomeUnknown):
    """No complete answer within the client's timeout."""


class ConnectionLost(OutcomeUnknown):
    """The connection broke after the request may have been sent."""


class ServerFailed(OutcomeUnknown):
    """Monday had an internal error."""

    advice = "Monday has trouble; nothing is lost, and it is tried again by itself."


class EdgeRefused(OutcomeUnknown):
    """HTTP 403 with a page and no JSON: of a firewall before the API, which may dislike what a single value holds.

    Monday's own refusals say why, as JSON (developer.monday.com/api-reference/docs/error-handling). So this is no
    missing permission of the token, for which every record would have to stop.
    """

    advice = (
        "It is tried again by itself, in smaller parts; a record that is refused alone is named in the queue."
    )


class StillRunning(OutcomeUnknown):
    """An earlier request with the same idempotency key is still being carried out."""


class UnreadableAnswer(OutcomeUnknown):
    """The answer came with HTTP 200 but is not a GraphQL answer."""


class LogShapeChanged(UnreadableAnswer):
    """The log is there, but in a shape that this version doesn't know."""

    advice = (
        "Set MONDAY_API_VERSION to 2026-10, or update NPD Sync. Until then changes are found by the items' times of "
        "last update, and an edit that was overwritten in the same second is not noticed."
    )


class ListingTruncated(UnreadableAnswer):
    """Fewer items were listed than the board has; what is missing is not known to be unchanged."""

    advice = "It is asked again by the next sweep."


class AnswerWithoutData(OutcomeUnknown):
    """A mutation was answered by errors without `data`; what succeeded stays, but isn't told.

    Seen with several aliased mutations in one request (community topic 109452, 2025-02).
    """


class Unreachable(MondayError):
    """No connection was made, so nothing was sent."""

    scope = Scope.UNREACHABLE
    retryable = True
    advice = "Check the network and MONDAY_API_URL; it is tried again by itself."

"""Monday's limits, shared by all workers: what may be spent and when, what stops everything, whose token is used.

`grant` says whether a board may be worked; `connector` is the way to call Monday, and each call is metered behind it.
`breaker` stops and starts again, `credentials` holds the secrets, `quota` says how the day stands. The other modules
are the package's own.
"""

from sync.limits import breaker, credentials, quota
from sync.limits.breaker import monday_account
from sync.limits.grants import BlockedKind, Grant, LimitFacts, Wait, grant
from sync.limits.metered_client import (
    MeteredClient,
    Reservation,
    call_cost,
    client,
    client_override,
    connector,
    urgent_calls,
)
from sync.limits.quota import board_costs

__all__ = ["BlockedKind", "Grant", "LimitFacts", "Reservation", "Wait", "board_costs", "grant"]
__all__ += ["MeteredClient", "call_cost", "client", "client_override", "connector", "urgent_calls"]
__all__ += ["breaker", "credentials", "monday_account", "quota"]

"""One allowance for all workers: what may be spent of Monday's limits, spent before each call, corrected after it.

`account.client()` is metered by it; a worker takes a *turn* for each look, which reserves its read and its write
together. Rows in PostgreSQL hold it (sync/models/budget.py), the arithmetic is sync/connectors/monday/budget.py.
"""

from sync.budget.forecasting import Forecast, forecast
from sync.budget.gate import Held, free_since, held, window_of
from sync.budget.metered import Metered
from sync.budget.reports import correct, forget_old_usage
from sync.budget.turns import Cost, Turn, asking_for_limits, sending, take_turn

__all__ = [
    "Cost",
    "Forecast",
    "Held",
    "Metered",
    "Turn",
    "asking_for_limits",
    "correct",
    "forecast",
    "forget_old_usage",
    "free_since",
    "held",
    "sending",
    "take_turn",
    "window_of",
]

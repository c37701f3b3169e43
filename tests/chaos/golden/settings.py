"""The settings of chaos, in processes that leave nothing to chance."""

from tests.chaos.chaos_settings import *  # noqa: F403
from tests.chaos.golden.orderly import leave_nothing_to_chance

leave_nothing_to_chance()

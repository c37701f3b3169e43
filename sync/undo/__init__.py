"""Undo of what the sync moved: the inverse of a decision, planned, checked for staleness, and carried out in NPD.

What is put back is NPD's own field; the next look sends it to Monday like any other edit, and asks a person where
Monday has moved on.
"""

from sync.undo.carrying_out import Undone, carry_out
from sync.undo.permission import may_undo
from sync.undo.planning import Step, decisions_of_batch, may_be_undone, plan

__all__ = ["Step", "Undone", "carry_out", "decisions_of_batch", "may_be_undone", "may_undo", "plan"]

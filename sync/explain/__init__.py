"""Why a record is as it is: its state, both sides, what would happen next, and every decision with its cause."""

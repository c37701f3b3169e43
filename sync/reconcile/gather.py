"""Gather: the queries and the calls by which a pass learns what is so. It decides nothing and writes nothing."""

from __future__ import annotations

# Records.

# Their history: recent events, writes of ours, loops.

# Relations and edit times.

# Identity: who could be whose.

# Removed items and deleted records.

# Items without a record.

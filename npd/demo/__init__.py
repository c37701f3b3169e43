"""The demo: sample data on both sides, linked, with five examples to try."""

"""The demo: sample data on both sides, linked, with five things waiting to be tried."""

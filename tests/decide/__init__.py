"""Tests of what a pass decides from facts alone: no database, no simulator, milliseconds each."""

"""Conflicts by API."""

"""The API of contacts and organizations."""

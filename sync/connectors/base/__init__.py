"""The port: what NPD Sync knows of another system. The names of Monday end behind it."""

"""Connections to other systems; each can be lifted out as a package of its own."""

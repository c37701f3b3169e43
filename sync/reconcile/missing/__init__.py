"""A record and its item: which belong together, and what becomes of one without the other.

A rule decides by itself what loses nothing and is certain; all else is a question to a person.
"""

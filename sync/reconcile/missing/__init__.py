"""One side is missing: what becomes of a record without its item, and of an item without its record.

A rule decides by itself what loses nothing and is certain; all else is a question to a person.
"""

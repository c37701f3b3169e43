"""One person's data: found everywhere, handed out, and erased.

`persons` says who is meant, `traces` where a database holds a person or a text, `erasure` exports and erases.
"""

"""Gather: read the facts of a pass; it writes nothing.

`gatherer` reads what NPD knows about the claimed records (`record_facts`), then the items of those that no rule has
ended, with what NPD knows about these (`item_facts`).
"""

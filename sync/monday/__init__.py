"""Monday.com: items, boards, columns and their values, what happened on a board, errors, and the calls of its API.

It imports nothing of Django or of our models, so that it could become a package of its own.
"""

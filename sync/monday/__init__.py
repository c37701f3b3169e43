"""Monday.com: items, boards, columns and their values, activity, errors, and the calls of its API.

It imports nothing from Django or our models, so it could become a separate package.
"""

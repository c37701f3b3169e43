"""Monday.com: client, errors, documents, column converters, webhooks, and the set-up of boards.

It imports nothing of Django or of our models, so that it could become a package of its own.
"""

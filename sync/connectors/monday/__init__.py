"""Monday.com: client, errors, documents, column converters, webhooks, and the set-up of boards.

It knows nothing of Django or of our models, so that it could be lifted out as a package of its own.
"""

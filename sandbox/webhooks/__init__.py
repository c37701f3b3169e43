"""Webhooks as Monday sends them: bodies, signatures, retries."""

"""The set-up wizard: connect, choose boards, map fields, match what is there, see the plan, carry it out.

What a person draws up stands in `SetupDraft` rows and nowhere else until they confirm the plan (drafts.py). A worker
compares both sides (comparing.py) and carries out what was confirmed (applying.py), each step safe to begin again.
"""

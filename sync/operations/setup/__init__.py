"""Set-up by a person: a draft, a comparison of both sides, a confirmed plan, and the run that applies it."""

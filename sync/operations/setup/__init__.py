"""Set-up by a person: the choices (selection.py), the plan of what they do (plan.py), the run (run.py)."""

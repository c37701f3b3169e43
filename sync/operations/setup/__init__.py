"""Set-up by a person: the choices (selection.py), the plan of their effects (plan.py), the run (run.py)."""

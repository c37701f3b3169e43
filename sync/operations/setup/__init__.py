"""Set-up by a person: the choices (selection), the plan of their effects (plan), and the run that applies them."""

"""Import of contacts and organizations from a file: read, planned, shown, and written once a person has confirmed.

`offer` reads a file and stores what it would write; `carry_on` writes it, `take_back` undoes it.
"""

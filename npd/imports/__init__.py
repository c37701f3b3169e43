"""Import of contacts and organizations from a file: read, planned, shown, written once it is confirmed.

`import_jobs` reads a file, stores what it would write, and runs the import or its undo.
"""

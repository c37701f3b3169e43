"""What can be wrong with a file as a whole; what is wrong with one row stands in the plan."""


class ImportFileError(ValueError):
    """The file can't be read, or names nothing to import; the message says what to do. Nothing was stored."""

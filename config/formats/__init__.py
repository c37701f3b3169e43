"""Our own forms of dates and numbers, a module per language; other languages use Django's."""

"""Forms of dates and numbers of our own, by language; a language without a module here has Django's."""

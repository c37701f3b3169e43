"""One person's data: found everywhere, handed out, and erased."""

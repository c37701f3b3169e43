"""The people who sign in: their second factor, and where they are signed in."""

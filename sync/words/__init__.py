"""What people read, as codes: a `Message` is stored as a code with its values, and reads as its sentence (table.py)."""

"""What a pass decides, by facts alone: no database, no simulator, milliseconds each."""

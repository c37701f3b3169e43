"""What can be done to boards and items, whoever asks: the API, the page, or a test."""

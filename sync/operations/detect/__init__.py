"""Finding changes that no webhook reported: sweep, full sweep and comparison; the verification of records."""

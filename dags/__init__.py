"""One file per pipeline; what they run is in `recipes`."""

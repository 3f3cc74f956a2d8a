"""What /metrics shows: families of samples, each a pure function of a snapshot, and their text."""

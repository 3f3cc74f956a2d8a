"""What is wrong, and what to do about it: small detectors, one pure function each, grouped by subject."""

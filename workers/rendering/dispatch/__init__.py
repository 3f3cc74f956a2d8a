"""Which image worker gets which job, and when."""

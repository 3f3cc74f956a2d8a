"""Rendering: which worker makes an original's renditions, in what time, and whose fault a failure is."""

"""The parts of the supervisor's loop, a module a subject."""

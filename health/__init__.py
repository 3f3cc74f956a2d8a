"""What can be seen from outside: `/status` and `/health`, answered by a process that does nothing else."""

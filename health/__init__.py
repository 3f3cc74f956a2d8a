"""What can be seen from outside: `/status`, `/health` and the page, answered by a process that does nothing else."""

"""What Linux says of processes, and what it lets them do."""

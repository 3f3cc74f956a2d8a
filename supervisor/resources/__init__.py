"""What the machine has to give: memory, processors, cgroups, file descriptors."""

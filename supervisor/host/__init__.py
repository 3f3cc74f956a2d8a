"""The root and the machine that it runs on: signals, lock, control socket, systemd."""

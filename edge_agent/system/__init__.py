"""What the machine tells: its clocks, systemd, file permissions. Imports nothing of ours."""

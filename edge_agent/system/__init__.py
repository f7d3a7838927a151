"""What the machine tells: its clocks, systemd, its board. Imports nothing of ours."""

"""What a command starts and that is no daemon: the demo."""

"""Recording and replay: files of readings, and the engine in virtual time over them."""

"""IoTCall's HTTP API: the client, its outcomes, and a sandbox that plays the service."""

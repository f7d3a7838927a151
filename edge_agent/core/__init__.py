"""The pure core: readings, conditions, alarms, the engine. No clock, thread, file, socket, log or random here."""

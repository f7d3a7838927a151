"""Unit tests of a user's own alarms: readings and expected events from a TOML file, played through the engine."""

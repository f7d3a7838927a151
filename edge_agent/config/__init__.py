"""The configuration: one TOML file, read and checked as a whole, with errors that tell file, line and remedy."""

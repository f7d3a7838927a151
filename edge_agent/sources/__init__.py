"""Sources: one file per type; they decode what a driver hears into readings, and never judge it."""

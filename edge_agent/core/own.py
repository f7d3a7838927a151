"""The names of the agent's own points: what it knows of itself, as readings that serve in alarms as any other."""

OWN_SOURCE = "agent"
"""The source of the agent's own points; no source of a configuration may be called so."""
OWN_FIELDS = (
    *("iotcall_reachable", "auth_ok", "outbox_waiting"),
    *("clock_synced", "cpu_temperature", "disk_free_percent", "undervoltage"),
)

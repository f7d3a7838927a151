"""edge-agent: phones somebody when a contact, a sensor or an MQTT topic trips."""

__version__ = "0.1.0"

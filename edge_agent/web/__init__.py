"""The HTTP side of a running agent: JSON API, health and metrics. Reads views; commands go by the inbox."""

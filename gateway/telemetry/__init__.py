"""Names, spans, metrics and logs of the gateway."""

"""Settings, registry and policy files: read, checked with line numbers, turned into core values."""

"""The token endpoint: OAuth grants for workloads that prove themselves by mutual TLS (RFC 8705)."""

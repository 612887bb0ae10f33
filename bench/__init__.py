"""Side-by-side benchmarks: CPU time per request of proxies that do the same TLS, in one interleaved run."""

"""The loader's API: HTTP on a unix socket, and over mutual TLS for a gateway on another host."""

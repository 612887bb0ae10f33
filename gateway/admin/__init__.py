"""The admin API: who may see and change what the gateway does, over TLS or the socket on its host."""

"""The demo of both enforcement points: an agent with a valid token, and what its kernel still refuses it."""

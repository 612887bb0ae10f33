"""Who is who: SPIFFE peers, user tokens, hop tokens, keys."""

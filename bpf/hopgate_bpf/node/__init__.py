"""One host's part: settings, what was accepted, names looked up, and the C loader run."""

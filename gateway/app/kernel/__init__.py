"""The gateway's side of the kernel half: rules out to the loaders, denials back into the log."""

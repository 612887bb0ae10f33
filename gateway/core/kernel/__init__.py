"""Policies about agents' own machines, compiled from Cedar for the kernel. Pure: nothing here loads or sends."""

"""Hopgate's loader: takes signed rules of agent classes, and has the kernel enforce them.

A distribution of its own, beside the gateway and without it.
"""

__version__ = "0.1.0"

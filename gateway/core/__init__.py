"""Pure domain: values in, values out. No I/O, clock, randomness or keys; all are arguments."""

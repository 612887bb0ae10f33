"""Protocol adapters: parse, classify, merge, deny. Pure: bytes and values in, values out."""

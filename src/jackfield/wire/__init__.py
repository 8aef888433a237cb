"""Wire formats, sans-I/O: bytes in, messages out. No module here knows a socket or a clock."""

"""Sans-I/O: packets as they stand on the wire, and the files they are kept in."""

"""What shows a server at work. Knows Instrument and kernel, never an engine's insides."""

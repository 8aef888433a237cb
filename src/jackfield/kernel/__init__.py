"""What asks the operating system: sockets and their options, readers of /proc.

Modules here know addresses, errors and limits. They must not know pollers, transports,
engines or protocols.
"""

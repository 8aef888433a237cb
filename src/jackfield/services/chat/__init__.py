"""Chat: users, rooms and what they say (``chat``), reached through doors (``line_door``).

names    what a nickname or room name may be
text     what a line may say
format   how it looks to who reads lines
chat     who is there, in which rooms; says nothing to a socket itself
commands /nick, /join and the others
line_door  telnet, nc, ncat, socat: one line is one message
"""

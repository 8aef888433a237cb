"""What ``jackfield top`` shows, without the terminal that shows it.

looker  reads the sockets, and who holds them                    (the only one that asks Linux)
rows    two looks make rates, and marks of what is in trouble
marks   what a mark is given for
view    which rows, in which order; summed up by process; one that is followed
"""

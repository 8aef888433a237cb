"""The servers jackfield is compared with, each a small program: ``python -m ...peers.X PORT``.

They print ``listening tcp://127.0.0.1:PORT`` on standard error, as jackfield does. None of
them uses anything of jackfield.
"""

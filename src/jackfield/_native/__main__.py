"""``python -m jackfield._native``: were the compiled parts compiled? Says so if not."""

import sys

from jackfield._native import PARTS, missing

absent = {part: why for part in PARTS if (why := missing(part)) is not None}
for part, why in absent.items():
    print(f"jackfield: {part}: {why}; the engines in Python serve", file=sys.stderr)
sys.exit(bool(absent))

"""The log of a server on standard error."""

from __future__ import annotations

import logging


class _Lines(logging.Formatter):
    """Plain lines; trouble is marked. The time is added by whatever collects them."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return f"{record.levelname.lower()}: {line}" if record.levelno > logging.INFO else line


def set_up(logger: logging.Logger, level: str) -> None:
    """Have ``logger`` write what is of ``level`` ("info", say) or graver."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logger.addHandler(handler)
    logger.setLevel(level.upper())

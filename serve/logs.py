"""One log format for every process of the stack."""

import logging


def configure_logs(level: str) -> None:
    """Our own loggers at `level`; other people's only when they warn."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    for name in ("core", "resources", "serve"):
        logging.getLogger(name).setLevel(level)

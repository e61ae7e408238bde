"""The MLflow page over the SQLite store of the settings: `python -m deploy.mlflow_page`."""

import os
import sys

from resources import mlflow_store
from resources.settings import Settings, read_settings

LOCAL = "127.0.0.1"


def command(settings: Settings) -> list[str]:
    """The server; it opens the store that is there and never makes an empty one in its place."""
    uri = mlflow_store.existing_uri(settings.mlflow_tracking_uri)
    return [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri),
        *("--host", LOCAL, "--port", str(settings.mlflow_port), "--workers", "1"),
        # One machine: runs write their files straight to the folder, the server only reads them.
        *("--no-serve-artifacts", "--default-artifact-root", (settings.state_dir / "mlartifacts").as_uri()),
    ]


def main() -> None:
    """Becomes the server."""
    settings = read_settings()
    mlflow_store.create(settings.mlflow_tracking_uri)
    arguments = command(settings)
    os.execv(arguments[0], arguments)  # noqa: S606


if __name__ == "__main__":
    main()

"""Background loops beside the engine: MLflow aliases, webhooks, old adapter folders, a broken code location."""

"""The HTTP service: Flask routes around the verbs of `tecton.ingest` and `tecton.serving`."""

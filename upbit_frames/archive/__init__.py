"""Upbit's published files: catalogue, download, CSV, import."""

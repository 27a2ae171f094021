"""The stored rows for other engines: lazy scans, SQL."""

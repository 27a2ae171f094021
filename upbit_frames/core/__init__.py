"""Vocabulary without I/O: intervals, queries, schemas, endpoints, availability, routes."""

"""The public calls, clients and views."""

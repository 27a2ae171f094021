"""The loopback exchange, Hypothesis strategies and the pytest plugin, for our tests and yours."""

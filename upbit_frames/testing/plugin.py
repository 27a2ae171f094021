"""pytest plugin for users of the package: the loopback exchange, cassettes and clock as fixtures."""

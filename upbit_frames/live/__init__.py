"""Live streams: one connection, shared by everything that listens, with its gaps mended over REST."""

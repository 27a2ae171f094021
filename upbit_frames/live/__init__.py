"""Live streams: one connection, shared by all subscribers, with gaps backfilled over REST."""

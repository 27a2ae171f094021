"""Record and replay: cassettes for REST, tapes for streams."""

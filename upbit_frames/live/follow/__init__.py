"""History, then every candle as it is sealed."""

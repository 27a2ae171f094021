"""The process: clocks, the event loop, telemetry, caches with a time to live."""

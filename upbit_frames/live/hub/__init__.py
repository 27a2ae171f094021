"""One shared connection: sequencing, fan-out, gap backfill."""

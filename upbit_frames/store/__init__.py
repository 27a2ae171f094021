"""Where fetched rows stay: a Parquet store on disk, or memory. Knows no network."""

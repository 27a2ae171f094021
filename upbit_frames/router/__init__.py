"""Who serves which range: plan, fetch, read."""

"""How Upbit is spoken to: transport, wire formats, typed requests."""

"""The model behind the stand-in exchange: seeded trades and everything computed from them."""

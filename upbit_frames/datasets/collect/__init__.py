"""Keep what the exchange does not: update stored series, lists of markets over time, checks of what is stored.

``update`` brings stored series up to now (``catch_up`` one series of candles, ``rewritten`` compares it with what the
exchange serves now). ``market_lists`` keeps the lists of markets, ``universe`` says what they show. ``quality`` checks
stored candles. Each of these has pure functions in the middle and reads or writes only at its edges.
"""

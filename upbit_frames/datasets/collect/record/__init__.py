"""Record streams into the store: trades, sealed candles and order books, with what was not recorded.

``buffer`` decides what of the rows that came may be stored under which range (pure). ``writing`` writes it, ``repair``
fetches over REST what trades and candles lack, ``session`` does both while a stream lasts. ``recorder`` is the public
face, ``unit`` a service description for systemd.
"""

"""The stored rows as data sets: kept complete and checked, read by other engines, pinned for a study, given to others.

``collect`` fills and checks the store. ``engines`` and ``sql`` hand its files to pyarrow, Polars and DuckDB
(``selection`` says which), ``mapping`` goes through it market by market. ``pins`` fixes what a study read
(``lock_file``, ``lock_check``, ``digests``, ``citation``), ``bundle`` packs it, ``publish`` copies it into a team's
store. Not here: how files are written and read, which is the store's.
"""

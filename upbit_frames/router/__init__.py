"""Who serves which range: plan, fetch, read.

The hops of one call, ``uf.candles`` as the example, from the query to the table:

1. ``api.calls.candles`` checks the arguments into a ``core.query.CandleQuery``.
2. ``router.candles.CandleRouter`` takes the query, for each market side by side, and synchronises the
   exchange's clock once (``router.ports.sync_server_time``) where the present matters.
3. ``router.candle_plan`` decides (no I/O): the goal, the steps, their channels and reasons.
   ``uf.plan`` and ``uf.explain`` show this plan; the route is its steps with counts.
4. ``router.candle_history`` executes the plan: reads rows with the ranges they cover, and fetches
   what is missing until the range is complete.
5. ``router.candle_fetch`` fetches what is missing, one caller a series (``router.single_flight``):
   from the archive (``archive.importer``) and over REST.
6. ``router.candle_pages`` walks the pages (no I/O); ``exchange.rest_api`` sends the requests.
7. ``router.call_store`` writes each page to the store and reads it back for this call.
8. ``router.candles`` joins the markets, adds what can still change from the live stream or REST,
   and returns a ``router.result.Result``; ``frames.output`` builds the frame of it.

Candles that Upbit does not have take the same hops, as a query for those of which they are made:
``router.derive`` translates the goal, the rows and the steps, and ``core.bar_grid`` knows where they begin.

Trades take the same hops: ``trades``, ``trade_plan``, ``trade_history``, ``trade_pages``,
``trade_requests``. Prices and books (``quotes``) have no range: ``live_rules`` chooses between the
stream and REST. Everything outside is reached through ``router.ports.Ports``.
"""

"""Interactive charts: a page that draws as many candles as there are pixels, and refines as one zooms.

``levels`` aggregates candles to coarser and coarser ones (pure), ``page`` packs them into one HTML document with
``chart.js`` and plotly.js, ``chart`` is what ``df.uf.chart()`` returns, ``widget`` adds live candles in a notebook.
"""

"""Arrow tables to and from pandas and Polars, the accessor, plots."""

"""One dataframely schema a table: dtype, key, bounds, unit, description. DDL, comments, dictionary and checks derive from it."""

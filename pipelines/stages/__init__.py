"""Plain functions over a range of labels that wire lake, sources and transforms; Dagster, bootstrap and tests call them."""

"""How good and how fast: benchmarks and the tables that report them."""

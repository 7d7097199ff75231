"""Claims measured with real weights, on what real teachers wrote."""

"""The four published methods, one folder each; `registry` alone knows all of them."""

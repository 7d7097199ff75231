"""How fast students are trained, by part and beside others."""

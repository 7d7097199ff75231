"""The finished student behind HTTP."""

"""LLM2LLM on the demo models: new questions like those that a student fails, beside as many like any."""

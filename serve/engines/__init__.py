"""Ray Serve LLM's server of a model, with what the service needs beside it."""

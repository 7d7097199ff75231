"""What travels through a run (questions, samples, examples), and what must not become an example."""

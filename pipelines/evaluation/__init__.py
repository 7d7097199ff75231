"""What a model scores on held-out questions."""

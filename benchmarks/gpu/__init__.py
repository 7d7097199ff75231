"""What a machine with a GPU makes of training, generation and two students of recorded answers; no Ray is needed."""

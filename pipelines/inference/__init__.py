"""Ways of answering beyond one completion: beam search over the lines of a program, and what scores them."""

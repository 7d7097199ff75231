"""The papers' claims put to the test, one folder each: cells (arm, seed), resumable, and the page made of them."""

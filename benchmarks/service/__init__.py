"""The served student beside what it is made of."""

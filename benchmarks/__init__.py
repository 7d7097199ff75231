"""Measurements against peers and limits; each prints one line of JSON."""

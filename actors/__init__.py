"""Stateful things that live on a node and know nothing of recipes: engines, executors, and the pools of them."""

"""Solving: what one question is asked of student and sandbox, how its answers vote, and what is told meanwhile.

asking   each sample on its own way: written, run, repaired; until the vote is decided
vote     when the samples that are still missing cannot change the answer
events   what happens, as server-sent events
"""

"""What models think of given tokens: log-probabilities of exact ids, stored and resumable like completions.

sampled    what a student has sampled, as the engine had it: ids and log-probabilities
rows       one model's scores of many rows of ids, through its pool
preflight  that teacher and student speak of the same tokens, and that engine and trainer have the same weights
"""

"""Tasks solved in numbered steps, with scripted feedback, improvement and planted errors (arXiv 2310.13522).

`table.TASKS` has the tasks by name; `base` says what all of them share; `steps` how an attempt is written; `prompts`
how a model is asked for an attempt, for feedback and for an improvement, and how its feedback is read.
"""
